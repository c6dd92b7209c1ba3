-- The requests that wrk sends: `wrk -s load.lua URL -- WORKLOAD TASKS FIRST [CURSOR]`. The table
-- has TASKS tasks; FIRST is the number of the first change, so that a measurement does not repeat
-- the changes of its warm-up.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local json = { ["Content-Type"] = "application/json" }
local subjects = { "anchor", "castle", "falcon", "granite", "lantern", "otter", "quartz", "walrus" }
local workloads = {}

workloads["get"] = function()
  return wrk.format("GET", "/tasks/" .. math.random(tasks))
end

workloads["not-modified"] = function()
  return wrk.format("GET", "/tasks/" .. math.random(tasks), { ["If-None-Match"] = '"1"' })
end

workloads["page"] = function()
  return wrk.format("GET", "/tasks?limit=100")
end

workloads["filtered"] = function()
  return wrk.format("GET", "/tasks?limit=100&status=open")
end

workloads["search"] = function()
  return wrk.format("GET", "/tasks?limit=100&q=" .. subjects[math.random(#subjects)])
end

workloads["post"] = function()
  local body = '{"title": "Try release %d.%d", "repository": "pallets/flask", "tags": ["upgrade"]}'
  return wrk.format("POST", "/tasks", json, body:format(number, count))
end

-- Every task is changed once before any task is changed again, in an order unrelated to the ids.
workloads["patch"] = function()
  local step = first + number + 2 * count
  local id = step * 7919 % tasks + 1
  local again = math.floor(step / tasks) % 2 == 1
  local status = (id % 3 == 2) == again and "done" or "open"
  return wrk.format("PATCH", "/tasks/" .. id, json, '{"status": "' .. status .. '"}')
end

-- The workloads of the part "growth".
workloads["first-page"] = function()
  return wrk.format("GET", "/tasks")
end

workloads["far-page"] = function()
  return wrk.format("GET", "/tasks?cursor=" .. cursor)
end

-- The limit is so low that even a thousand tasks fill the page: every size returns as many.
workloads["short-search"] = function()
  return wrk.format("GET", "/tasks?limit=5&q=" .. subjects[math.random(#subjects)])
end

function init(words)
  workload, tasks, first, cursor = words[1], tonumber(words[2]), tonumber(words[3]), words[4]
  count = 0
  math.randomseed(number + 1)
end

function request()
  count = count + 1
  return workloads[workload]()
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local form = '{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "failed": %d}\n'
  io.write(form:format(
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed
  ))
end

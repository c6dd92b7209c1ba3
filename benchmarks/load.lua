-- What wrk sends: `wrk -s load.lua URL -- WORK TASKS FIRST`. TASKS are in the table; FIRST is where
-- changes begin, so that those of the warm-up are not made again.

local made = 0

function setup(thread)
  thread:set("number", made)
  made = made + 1
end

local json = { ["Content-Type"] = "application/json" }
local subjects = { "anchor", "castle", "falcon", "granite", "lantern", "otter", "quartz", "walrus" }
local works = {}

works["get"] = function()
  return wrk.format("GET", "/tasks/" .. math.random(tasks))
end

works["not-modified"] = function()
  return wrk.format("GET", "/tasks/" .. math.random(tasks), { ["If-None-Match"] = '"1"' })
end

works["page"] = function()
  return wrk.format("GET", "/tasks?limit=100")
end

works["filtered"] = function()
  return wrk.format("GET", "/tasks?limit=100&status=open")
end

works["search"] = function()
  return wrk.format("GET", "/tasks?limit=100&q=" .. subjects[math.random(#subjects)])
end

works["post"] = function()
  local body = '{"title": "Try release %d.%d", "repository": "pallets/flask", "tags": ["upgrade"]}'
  return wrk.format("POST", "/tasks", json, body:format(number, count))
end

-- Each task is changed once before any is changed again, in no order that the table has.
works["patch"] = function()
  local step = first + number + 2 * count
  local id = step * 7919 % tasks + 1
  local again = math.floor(step / tasks) % 2 == 1
  local status = (id % 3 == 2) == again and "done" or "open"
  return wrk.format("PATCH", "/tasks/" .. id, json, '{"status": "' .. status .. '"}')
end

-- For the part "growth", which has the cursor as a fourth word.
works["first-page"] = function()
  return wrk.format("GET", "/tasks")
end

works["far-page"] = function()
  return wrk.format("GET", "/tasks?cursor=" .. cursor)
end

-- So few that even a thousand tasks have them: every size answers as much.
works["short-search"] = function()
  return wrk.format("GET", "/tasks?limit=5&q=" .. subjects[math.random(#subjects)])
end

function init(words)
  work, tasks, first, cursor = words[1], tonumber(words[2]), tonumber(words[3]), words[4]
  count = 0
  math.randomseed(number + 1)
end

function request()
  count = count + 1
  return works[work]()
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local form = '{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "failed": %d}\n'
  io.write(form:format(
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed
  ))
end

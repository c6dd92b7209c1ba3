-- Fill the table `tasks` of any service: %(tasks)s tasks on %(repositories)s.
CREATE FUNCTION pg_temp.random(n bigint, seed int, below int) RETURNS int
    LANGUAGE sql IMMUTABLE AS $$ SELECT abs(hashint8extended(n, seed) %% below)::int $$;

CREATE FUNCTION pg_temp.pick(n bigint, seed int, words text[]) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$ SELECT words[1 + pg_temp.random(n, seed, cardinality(words))] $$;

CREATE TEMPORARY TABLE repositories AS
SELECT row_number() OVER () - 1 AS number, *
FROM jsonb_to_recordset(%(repositories)s) AS found (
    id bigint, full_name text, description text, stars bigint, language text, archived boolean,
    pushed_at timestamptz
);

CREATE TEMPORARY TABLE vocabulary AS SELECT
    string_to_array('Read Try Review Fix Update Document Test Remove Compare Measure', ' ') AS verbs,
    string_to_array('new old slow broken missing unclear flaky unused strict noisy', ' ') AS kinds,
    string_to_array('release parser default timeout warning fixture installer changelog', ' ')
        AS things,
    -- The words to search for: each is in one task of a hundred, and part of no other word.
    string_to_array(
        'anchor almond basket beacon bishop blanket bottle bramble bucket butter cactus candle '
        'canyon castle cellar cherry cobalt comet copper cotton coyote cradle crayon cricket '
        'cushion dagger daisy dolphin donkey dragon drawer eagle ember falcon feather fiddle '
        'flamingo fossil fountain galaxy garlic gazelle ginger glacier goblet granite hammock '
        'harbor hazel helmet hornet icicle indigo island ivory jackal jasmine jungle kettle '
        'kitten ladder lagoon lantern lemon lizard lobster magnet mango marble meadow mitten '
        'muffin nectar nickel nutmeg oboe orchid otter oyster paddle panther pebble pelican '
        'pepper pigeon pillow pirate puzzle quartz rabbit raven ribbon saddle salmon sapphire '
        'teapot thistle tulip velvet walrus',
        ' '
    ) AS subjects,
    string_to_array('bug docs upgrade security ci later question performance', ' ') AS labels;

INSERT INTO tasks (
    id, title, description, status, priority, tags, due_date, repository, repository_id,
    repository_url, repository_description, stars, language, archived, pushed_at, metadata_status,
    metadata_fetched_at, version, created_at, updated_at
)
SELECT
    n,
    format(
        '%%s the %%s %%s of %%s',
        pg_temp.pick(n, 1, verbs), pg_temp.pick(n, 2, kinds), pg_temp.pick(n, 3, things),
        split_part(full_name, '/', 2)
    ),
    CASE WHEN pg_temp.random(n, 4, 10) > 0 THEN format(
        'It came up while we worked on the %%s: the %%s %%s takes longer than it should, and the '
        'notes do not mention it. Ask the author, then write down the result.',
        pg_temp.pick(n, 5, subjects), pg_temp.pick(n, 6, kinds), pg_temp.pick(n, 7, things)
    ) END,
    (ARRAY['open', 'in_progress', 'done'])[1 + n %% 3],  -- load.lua relies on it
    (ARRAY['low', 'normal', 'normal', 'high'])[1 + pg_temp.random(n, 8, 4)],
    labels[1 + pg_temp.random(n, 9, 8):pg_temp.random(n, 9, 8) + pg_temp.random(n, 10, 4)],
    CASE WHEN n %% 2 = 0 THEN date '2026-01-01' + pg_temp.random(n, 11, 700) END,
    full_name,
    repositories.id,
    'https://github.com/' || full_name,
    repositories.description,
    stars,
    language,
    archived,
    pushed_at,
    'current',
    timestamptz '2026-01-01 00:00:00.25+00' + n * interval '10 seconds',
    1,
    timestamptz '2026-01-01 00:00:00.5+00' + n * interval '10 seconds',
    timestamptz '2026-01-01 00:00:00.5+00' + n * interval '10 seconds'
FROM generate_series(1, %(tasks)s) AS n
JOIN repositories ON number = pg_temp.random(n, 12, (SELECT count(*)::int FROM repositories))
CROSS JOIN vocabulary
ORDER BY n;

SELECT setval(pg_get_serial_sequence('tasks', 'id'), %(tasks)s);

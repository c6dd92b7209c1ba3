"""Create the tables. Frozen: later changes are migrations of their own."""

from typing import Any

INDEXES = {
    "tasks_repository_id": "(repository_id, repository)",
    "tasks_created_at": "(created_at, id)",
    "tasks_updated_at": "(updated_at, id)",
    "tasks_due_date": "(due_date, id)",
    "tasks_priority": "(array_position(ARRAY['low', 'normal', 'high'], priority), id)",
    "tasks_stars": "(stars, id)",
    "tasks_pushed_at": "(pushed_at, id)",
    "tasks_title": '(title_key(title) COLLATE "C", id)',
    "tasks_repository": '(lower(repository COLLATE "C"), id)',
    "tasks_archived": "(created_at, id) WHERE archived",
    "tasks_metadata_not_current": "(created_at, id) WHERE metadata_status <> 'current'",
    "tasks_tags": "USING gin (tag_keys)",
    "tasks_search": "USING gin (search)",
}
INVISIBLE = (
    r"\u0001-\u0020\u007f-\u00a0\u00ad\u0300-\u036f\u061c\u115f\u1160\u1680\u17b4\u17b5"
    r"\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f"
    r"\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
MARKS = (
    r"\u00ad\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0670\u200b-\u200f\u20d0-\u20ff\u2060"
    r"\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef"
)
SEPARATORS = (
    r"\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00bf\u00d7\u00f7\u055a-\u055f\u0589"
    r"\u058a\u05be\u05c0\u05c3\u05f3\u05f4\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965"
    r"\u1361-\u1368\u1680\u2000-\u206f\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\u303d"
    r"\u30fb\ufe10-\ufe6f"
)
SINGLES = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u20a0-\u20cf\u2100-\u2bff\u2e80-\u2fff"
    r"\u3005-\u3007\u3040-\u30fa\u30fc-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufaff\U0001f000-\U0001faff\U00020000-\U0003ffff"
)
WORD = rf"[{SINGLES}]|[^{SEPARATORS}{SINGLES}]+(?:[+#]{{1,2}}(?![^{SEPARATORS}]))?"
CAPITALS = (
    "ÆÐØÞĐĦĲĿŁŊŒŦƁƂƄƆƇƉƊƋƎƏƐƑƓƔƖƗƘƜƝƟƢƤƦƧƩƬƮƱƲƳƵƷƸƼǄǅǇǈǊǋǤǱǲǶǷȜȠȢȤȺȻȽȾɁɃɄɅɆɈɊɌɎͰͲͶͿΑΒ"
    "ΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩϏϘϚϜϞϠϢϤϦϨϪϬϮϴϷϹϺϽϾϿЂЄЅІЈЉЊЋЏАБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЪЫЬЭ"
    "ЮЯѠѢѤѦѨѪѬѮѰѲѴѸѺѼѾҀҊҌҎҐҒҔҖҘҚҜҞҠҢҤҦҨҪҬҮҰҲҴҶҸҺҼҾӀӃӅӇӉӋӍӔӘӠӨӶӺӼӾԀԂԄԆԈԊԌԎԐԒԔԖԘԚԜԞԠԢԤԦ"
    "ԨԪԬԮԱԲԳԴԵԶԷԸԹԺԻԼԽԾԿՀՁՂՃՄՅՆՇՈՉՊՋՌՍՎՏՐՑՒՓՔՕՖẞỺỼỾꙀꙂꙄꙆꙈꙊꙌꙎꙐꙒꙔꙖꙘꙚꙜꙞꙠꙢꙤꙦꙨꙪꙬꚀꚂꚄꚆꚈꚊꚌꚎꚐꚒꚔ"
    "ꚖꚘꚚꜢꜤꜦꜨꜪꜬꜮꜲꜴꜶꜸꜺꜼꜾꝀꝂꝄꝆꝈꝊꝌꝎꝐꝒꝔꝖꝘꝚꝜꝞꝠꝢꝤꝦꝨꝪꝬꝮꝹꝻꝽꝾꞀꞂꞄꞆꞋꞍꞐꞒꞖꞘꞚꞜꞞꞠꞢꞤꞦꞨꞪꞫꞬꞭꞮꞰꞱꞲꞳꞴꞶꞸꞺꞼꞾ"
)
SMALL_LETTERS = (
    "æðøþđħĳŀłŋœŧɓƃƅɔƈɖɗƌǝəɛƒɠɣɩɨƙɯɲɵƣƥʀƨʃƭʈʊʋƴƶʒƹƽǆǆǉǉǌǌǥǳǳƕƿȝƞȣȥⱥȼƚⱦɂƀʉʌɇɉɋɍɏͱͳͷϳαβ"
    "γδεζηθικλμνξοπρστυφχψωϗϙϛϝϟϡϣϥϧϩϫϭϯθϸϲϻͻͼͽђєѕіјљњћџабвгдежзиклмнопрстуфхцчшщъыьэ"
    "юяѡѣѥѧѩѫѭѯѱѳѵѹѻѽѿҁҋҍҏґғҕҗҙқҝҟҡңҥҧҩҫҭүұҳҵҷҹһҽҿӏӄӆӈӊӌӎӕәӡөӷӻӽӿԁԃԅԇԉԋԍԏԑԓԕԗԙԛԝԟԡԣԥԧ"
    "ԩԫԭԯաբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆßỻỽỿꙁꙃꙅꙇꙉꙋꙍꙏꙑꙓꙕꙗꙙꙛꙝꙟꙡꙣꙥꙧꙩꙫꙭꚁꚃꚅꚇꚉꚋꚍꚏꚑꚓꚕ"
    "ꚗꚙꚛꜣꜥꜧꜩꜫꜭꜯꜳꜵꜷꜹꜻꜽꜿꝁꝃꝅꝇꝉꝋꝍꝏꝑꝓꝕꝗꝙꝛꝝꝟꝡꝣꝥꝧꝩꝫꝭꝯꝺꝼᵹꝿꞁꞃꞅꞇꞌɥꞑꞓꞗꞙꞛꞝꞟꞡꞣꞥꞧꞩɦɜɡɬɪʞʇʝꭓꞵꞷꞹꞻꞽꞿ"
)
LOWER = f"""
    normalize(
        translate(lower(normalize(%s, NFD) COLLATE "C"), '{CAPITALS}', '{SMALL_LETTERS}'), NFC
    )
"""
FOLD = f"""translate(
    {LOWER % f"regexp_replace(normalize(%s, NFKD), '[{MARKS}]', '', 'g')"}, 'ıøłđðħŧς', 'iolddhtσ'
)"""
FUNCTIONS = (
    rf"""
CREATE FUNCTION lower_tags(tags text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $function$
DECLARE
    joined text := array_to_string(tags, E'\n');
BEGIN
    IF octet_length(joined) = char_length(joined) THEN
        joined := lower(joined COLLATE "C");
    ELSE
        joined := {LOWER % "joined"};
    END IF;
    RETURN string_to_array(joined, E'\n');
END
$function$
""",
    rf"""
CREATE FUNCTION title_key(title text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
    SELECT CASE WHEN octet_length(title) = char_length(title) THEN lower(title COLLATE "C")
    ELSE {FOLD % "title"} END || E'\u0001' || title
$function$
""",
    rf"""
CREATE FUNCTION search_vector(texts text[]) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $function$
DECLARE
    folded text := array_to_string(texts, E'\n');
BEGIN
    IF octet_length(folded) = char_length(folded) THEN
        folded := lower(folded COLLATE "C");
    ELSE
        folded := {FOLD % "folded"};
    END IF;
    RETURN (
        SELECT coalesce(string_agg('''' || left(match[1], 100) || ''':' || n, ' '), '')
            ::tsvector
        FROM regexp_matches(folded, '{WORD}', 'g') WITH ORDINALITY AS words (match, n)
    );
END
$function$
""",
)


def up(migrator: Any, db: Any) -> None:
    for function in FUNCTIONS:
        db.execute_sql(function)
    db.execute_sql(rf"""
        CREATE TABLE tasks (
            id BIGSERIAL PRIMARY KEY,
            title TEXT NOT NULL,
            description TEXT,
            status TEXT NOT NULL,
            priority TEXT NOT NULL,
            tags TEXT[] NOT NULL,
            due_date DATE,
            repository TEXT NOT NULL,
            issue BIGINT,
            repository_id BIGINT,
            repository_url TEXT,
            issue_url TEXT GENERATED ALWAYS AS (
                repository_url || '/issues/' || issue
            ) STORED,
            repository_description TEXT,
            stars BIGINT,
            language TEXT,
            archived BOOLEAN,
            pushed_at TIMESTAMPTZ,
            topics TEXT[],
            license TEXT,
            homepage TEXT,
            fork BOOLEAN,
            visibility TEXT,
            metadata_status TEXT NOT NULL,
            metadata_fetched_at TIMESTAMPTZ,
            version BIGINT NOT NULL DEFAULT 1,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            tag_keys TEXT[] NOT NULL GENERATED ALWAYS AS (lower_tags(tags)) STORED,
            search TSVECTOR NOT NULL GENERATED ALWAYS AS (
                search_vector(
                    ARRAY[title, description, repository, repository_description] || tags
                )
            ) STORED,
            CONSTRAINT tasks_title_length CHECK (char_length(title) BETWEEN 1 AND 200),
            CONSTRAINT tasks_title_line CHECK (title = btrim(title) AND title !~ '[\n\r]'),
            CONSTRAINT tasks_title_visible CHECK (title ~ '[^{INVISIBLE}]'),
            CONSTRAINT tasks_title_nfc CHECK (title IS NFC NORMALIZED),
            CONSTRAINT tasks_description_length CHECK (char_length(description) <= 10000),
            CONSTRAINT tasks_status_known CHECK (status IN ('open', 'in_progress', 'done')),
            CONSTRAINT tasks_priority_known CHECK (priority IN ('low', 'normal', 'high')),
            CONSTRAINT tasks_tags_number CHECK (cardinality(tags) <= 20),
            CONSTRAINT tasks_tags_length CHECK (
                array_position(tags, NULL) IS NULL AND array_position(tags, '') IS NULL
                AND array_to_string(tags, '') !~ '[\n\r]'
                AND array_to_string(tags, E'\n') !~ '[^\n]{{51,}}'
            ),
            CONSTRAINT tasks_tags_nfc CHECK (array_to_string(tags, E'\n') IS NFC NORMALIZED),
            CONSTRAINT tasks_repository_name CHECK (
                repository ~ '^[A-Za-z0-9_-]{{1,39}}/[A-Za-z0-9._-]{{1,100}}$'
            ),
            CONSTRAINT tasks_issue_range CHECK (issue BETWEEN 1 AND 2147483647),
            CONSTRAINT tasks_stars_natural CHECK (stars >= 0),
            CONSTRAINT tasks_metadata_status_known CHECK (
                metadata_status IN ('current', 'pending', 'unavailable')
            ),
            CONSTRAINT tasks_metadata_whole CHECK (
                metadata_status <> 'current' OR (
                    repository_id IS NOT NULL AND repository_url IS NOT NULL
                    AND stars IS NOT NULL AND archived IS NOT NULL
                    AND metadata_fetched_at IS NOT NULL
                )
            ),
            CONSTRAINT tasks_version_positive CHECK (version >= 1)
        )
    """)
    for name, definition in INDEXES.items():
        db.execute_sql(f"CREATE INDEX {name} ON tasks {definition}")
    # With fewer, a rare tag or word counts as a common one in a table of millions.
    db.execute_sql("ALTER TABLE tasks ALTER search SET STATISTICS 1000")
    db.execute_sql("ALTER TABLE tasks ALTER tag_keys SET STATISTICS 1000")
    db.execute_sql("""
        CREATE TABLE idempotency_keys (
            key TEXT PRIMARY KEY,
            fingerprint TEXT NOT NULL,
            task_id BIGINT,
            claimed_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    db.execute_sql("""
        CREATE TABLE former_names (
            name TEXT NOT NULL,
            repository_id BIGINT NOT NULL,
            PRIMARY KEY (name, repository_id)
        )
    """)
    db.execute_sql("CREATE INDEX idempotency_keys_claimed_at ON idempotency_keys (claimed_at)")


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("DROP TABLE idempotency_keys")
    db.execute_sql("DROP TABLE former_names")
    db.execute_sql("DROP TABLE tasks")
    db.execute_sql("DROP FUNCTION search_vector, title_key, lower_tags")

r"""Text as Python and PostgreSQL both read it, under every locale of the database.

The classes are the content of a bracket expression, in the syntax that Python's `re` and
PostgreSQL's regular expressions share. All that follows from them is made from here for both.
"""

import re
import unicodedata
from string import ascii_lowercase, ascii_uppercase

# Characters that show nothing: white space, controls, joiners and direction marks, fillers,
# combining marks without a letter.
INVISIBLE = (
    r"\u0001-\u0020\u007f-\u00a0\u00ad\u0300-\u036f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    r"\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff9-\ufffb\U000e0000-\U000e0fff"
)
UNSEEN = {"Mn", "Me", "Cf", "Cc"}  # categories: marks without a letter, and controls
# Accents and other marks that a search ignores
MARKS = (
    r"\u00ad\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0670\u200b-\u200f\u20d0-\u20ff\u2060"
    r"\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef"
)
# Letters that a search takes for others, since no mark can be removed from them
VARIANTS = "ıøłđðħŧς"
BASES = "iolddhtσ"
# Capitals of Latin, Greek, Cyrillic and Armenian beyond ASCII, without their marks. PostgreSQL's
# own lower() follows the database's locale: in Turkish I is no capital i, and C knows ASCII only.
CAPITALS = "".join(
    letter
    for letter in map(chr, (*range(0x80, 0x588), *range(0x1E00, 0x1F00), *range(0xA640, 0xA7C0)))
    if letter.lower() != letter == unicodedata.normalize("NFD", letter)
)
SMALL_LETTERS = CAPITALS.lower()
# Punctuation: it separates words
SEPARATORS = (
    r"\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00bf\u00d7\u00f7\u055a-\u055f\u0589\u058a"
    r"\u05be\u05c0\u05c3\u05f3\u05f4\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965\u1361-\u1368"
    r"\u1680\u2000-\u206f\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\u303d\u30fb\ufe10-\ufe6f"
)
# Characters that are a word each: of scripts that have no spaces between words, and symbols
SINGLES = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u20a0-\u20cf\u2100-\u2bff\u2e80-\u2fff\u3005-\u3007"
    r"\u3040-\u30fa\u30fc-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U0001f000-\U0001faff\U00020000-\U0003ffff"
)
# A word may end in + or #, as C++ and C# do.
WORD = rf"[{SINGLES}]|[^{SEPARATORS}{SINGLES}]+(?:[+#]{{1,2}}(?![^{SEPARATORS}]))?"
WORD_MAX = 100  # characters of a word that are searched

_marks = re.compile(f"[{MARKS}]")
_word = re.compile(WORD)
_lower = str.maketrans(ascii_uppercase + CAPITALS, ascii_lowercase + SMALL_LETTERS)
_bases = str.maketrans(VARIANTS, BASES)

_LOWER = f"""
    normalize(
        translate(lower(normalize(%s, NFD) COLLATE "C"), '{CAPITALS}', '{SMALL_LETTERS}'), NFC
    )
"""
_FOLD = f"""translate(
    {_LOWER % f"regexp_replace(normalize(%s, NFKD), '[{MARKS}]', '', 'g')"}, '{VARIANTS}', '{BASES}'
)"""
# The functions of the database. None calls another: PostgreSQL evaluates an index with an empty
# search path. ASCII takes the short way, which is ten times as quick.
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
        joined := {_LOWER % "joined"};
    END IF;
    RETURN string_to_array(joined, E'\n');
END
$function$
""",
    rf"""
CREATE FUNCTION title_key(title text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
    SELECT CASE WHEN octet_length(title) = char_length(title) THEN lower(title COLLATE "C")
    ELSE {_FOLD % "title"} END || E'\u0001' || title
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
        folded := {_FOLD % "folded"};
    END IF;
    RETURN (
        SELECT coalesce(string_agg('''' || left(match[1], {WORD_MAX}) || ''':' || n, ' '), '')
            ::tsvector
        FROM regexp_matches(folded, '{WORD}', 'g') WITH ORDINALITY AS words (match, n)
    );
END
$function$
""",
)


def has_visible_character(text: str) -> bool:
    """Return whether a text shows anything: more than PostgreSQL's check, which knows no marks."""
    shown = re.sub(f"[{INVISIBLE}]", "", text)
    return any(unicodedata.category(sign) not in UNSEEN for sign in shown)


def lower_text(text: str) -> str:
    """Return a text in lower case, as `lower_tags` of the database does."""
    lower = unicodedata.normalize("NFD", text).translate(_lower)
    return unicodedata.normalize("NFC", lower)


def search_words(text: str) -> list[str]:
    """Return the words of a text, without case and accents, as `search_vector` does."""
    plain = lower_text(_marks.sub("", unicodedata.normalize("NFKD", text))).translate(_bases)
    return [word[:WORD_MAX] for word in _word.findall(plain)]

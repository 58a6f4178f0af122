"""Settings: layers, messages with their lines, and the texts derived from the page."""

import dataclasses
import json
import tomllib
from pathlib import Path

import pytest

from reindex.errors import ConfigError
from reindex.settings import Settings, SourceSettings
from reindex.settings_entries import Kind, all_entries, entries
from reindex.settings_file import find_config, load_settings
from reindex.settings_lines import KeyLines
from reindex.settings_parser import LoadedSettings, parse_settings
from reindex.settings_text import as_table, init_text, json_schema, masked, show
from reindex.settings_values import value_from_variable

BASE = Path("/project")
SOURCE = '[[sources]]\nname = "docs"\npath = "data"\n'


def parse(
    text: str | None = SOURCE, overrides: dict[str, object] | None = None, **env: str
) -> LoadedSettings:
    return parse_settings(
        text=text, file="config.toml", base_dir=BASE, environment=env, overrides=overrides or {}
    )


def failure(text: str | None = SOURCE, overrides: dict[str, object] | None = None, **env: str) -> str:
    """Message and hint, in a line."""
    with pytest.raises(ConfigError) as caught:
        parse(text, overrides, **env)
    return f"{caught.value.message} | {caught.value.hint}"


# --- defaults and layers


def test_the_defaults_are_those_of_the_contract():
    contract = """
        data_dir = "/project/.reindex"
        [[sources]]
        name = "docs"
        path = "/project/data"
        include = []
        exclude = []
        max_file_mb = 20
        [parsing]
        timeout_s = 60
        memory_mb = 4096
        max_text_mb = 256
        [chunking]
        max_tokens = 256
        overlap_tokens = 0
        [embedding]
        provider = "local"
        model = "all-MiniLM-L6-v2"
        dimensions = 0
        backend = "auto"
        precision = "fp32"
        threads = 0
        batch_tokens = 1024
        window_chunks = 2000
        cache_max_gb = 0
        [embedding.openai]
        base_url = ""
        lane = "auto"
        batch_min_chunks = 2000
        batch_max_wait_s = 900
        budget_usd_per_day = 0
        has_batch = true
        has_base64 = true
        send_dimensions = true
        max_inputs_per_request = 2048
        max_tokens_per_request = 300000
        max_tokens_per_input = 8192
        timeout_s = 60
        retries_max = 4
        retry_wait_max_s = 120
        batch_max_inputs = 50000
        batch_max_mb = 190
        batch_queue_tokens = 0
        batch_poll_s = 5
        batch_grace_s = 120
        batch_stuck_s = 3600
        attempts_max = 3
        [index]
        vector_index_min_rows = 20000
        keep_generations = 2
        reader_grace_s = 300
        optimize_unindexed_rows = 5000
        optimize_small_fragments = 24
        [daemon]
        http = "127.0.0.1:7700"
        settle_ms = 50
        reconcile_s = 900
        poll_s = 30
        token = ""
        searches_max = 64
        model_idle_s = 600
        stop_s = 10
        log_level = "info"
        [promotion]
        queries = ""
        min_recall = 0.0
    """
    assert as_table(parse().settings) == tomllib.loads(contract)
    assert parse().settings.embedding.query_prompt is None


def test_each_layer_wins_over_the_one_below():
    text = SOURCE + "[chunking]\nmax_tokens = 100\n"
    variable = {"REINDEX_CHUNKING__MAX_TOKENS": "200"}
    option: dict[str, object] = {"chunking.max_tokens": 300}
    found = [parse(), parse(text), parse(text, **variable), parse(text, option, **variable)]
    assert [each.settings.chunking.max_tokens for each in found] == [256, 100, 200, 300]
    assert [each.origins["chunking.max_tokens"] for each in found] == [
        "default",
        "config.toml:5",
        "environment REINDEX_CHUNKING__MAX_TOKENS",
        "--max-tokens",
    ]


def test_an_option_that_was_not_given_changes_nothing():
    assert parse(overrides={"data_dir": None}) == parse()


def test_every_value_has_an_origin():
    text = SOURCE + '[[sources]]\nname = "more"\npath = "more"\n'
    expected = {key for key, _ in all_entries() if not key.startswith("sources.")}
    source = {entry.name for entry in entries(SourceSettings)}
    expected |= {f"sources.{number}.{name}" for number in (0, 1) for name in source}
    found = parse(text).origins
    assert found.keys() == expected
    assert found["sources.1.path"] == "config.toml:6"
    assert found["sources.1.include"] == "default"


def test_what_is_wrong_in_the_file_is_not_hidden_by_a_later_layer():
    text = SOURCE + "[chunking]\nmax_tokens = -1\n"
    assert "config.toml:5" in failure(text, REINDEX_CHUNKING__MAX_TOKENS="200")


# --- the environment


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("REINDEX_DATA_DIR", "state", "data_dir", Path("/project/state")),
        ("REINDEX_DATA_DIR", "/state", "data_dir", Path("/state")),
        ("REINDEX_EMBEDDING__OPENAI__LANE", "batch", "embedding.openai.lane", "batch"),
        ("REINDEX_EMBEDDING__OPENAI__BUDGET_USD_PER_DAY", "2.5", "embedding.openai.budget_usd_per_day", 2.5),
        ("REINDEX_INDEX__KEEP_GENERATIONS", "5", "index.keep_generations", 5),
        ("REINDEX_EMBEDDING__QUERY_PROMPT", "", "embedding.query_prompt", ""),
        ("REINDEX_DAEMON__HTTP", "", "daemon.http", ""),
        ("REINDEX_PROMOTION__QUERIES", "probes.toml", "promotion.queries", Path("/project/probes.toml")),
    ],
)
def test_a_variable_is_read_by_the_type_of_its_setting(variable, text, key, value):
    found = parse(**{variable: text})
    at: object = found.settings
    for name in key.split("."):
        at = getattr(at, name)
    assert at == value
    assert type(at) is type(value)
    assert found.origins[key] == f"environment {variable}"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Kind.BOOLEAN, "true", True),
        (Kind.BOOLEAN, "False", False),
        (Kind.BOOLEAN, "maybe", "maybe"),
        (Kind.STRINGS, '["a,b", "c"]', ["a,b", "c"]),
        (Kind.STRINGS, "a, b,", ["a", "b"]),
        (Kind.STRINGS, "", []),
        (Kind.STRINGS, "[a", "[a"),
        (Kind.INTEGER, "2.5", "2.5"),
        (Kind.STRING, "5", "5"),
    ],
)
def test_a_variable_that_is_no_value_of_the_kind_stays_text(kind, text, value):
    assert value_from_variable(kind, text) == value


@pytest.mark.parametrize(
    ("variable", "parts"),
    [
        ("REINDEX_CHUNKING__MAX_TOKEN", ["unknown", "did you mean REINDEX_CHUNKING__MAX_TOKENS?"]),
        ("REINDEX_EMBEDING__OPENAI__LANE", ["did you mean REINDEX_EMBEDDING__OPENAI__LANE?"]),
        ("REINDEX_CONFG", ["did you mean REINDEX_CONFIG?"]),
        ("REINDEX_SOURCES__0__PATH", ["config.toml only"]),
        ("REINDEX_ZZ", ["REINDEX_<SECTION>__<KEY>"]),
    ],
)
def test_an_unknown_variable_is_an_error(variable, parts):
    message = failure(**{variable: "1"})
    assert f"environment {variable}:" in message
    for part in parts:
        assert part in message


def test_other_variables_are_let_be():
    assert parse(REINDEX_CONFIG="x", REINDEXER="y", reindex_x="z") == parse()


def test_a_wrong_variable_is_named():
    message = failure(REINDEX_CHUNKING__MAX_TOKENS="many")
    assert message.startswith(
        'environment REINDEX_CHUNKING__MAX_TOKENS: chunking.max_tokens must be a whole number, not "many"'
    )


# --- what is wrong in the file


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("[chunking]\nmax_token = 5", 5, 'did you mean "max_tokens"?'),
        ("[chunkin]\nmax_tokens = 5", 4, 'did you mean "chunking"?'),
        ("[embedding.opneai]\nlane = 'auto'", 4, 'did you mean "openai"?'),
        ("\n# [chunking]\n[index]\n# x\nmax_tokens = 9", 8, 'did you mean "max_tokens", in [chunking]?'),
        ('data_dir = "x"', 4, 'did you mean "data_dir", above the first [table]?'),
        ("[daemon]\nzzz = 1", 5, "known here: http, settle_ms, reconcile_s"),
        ('exclude = ["""\na\n""", "b"]\nmax_mb = 3', 7, 'did you mean "max_file_mb"?'),
        ("[embedding]\nopenai = { lane = 'auto', bse_url = '' }", 5, 'did you mean "base_url"?'),
        ("[embedding]\nopenai.bse_url = ''", 5, 'did you mean "base_url"?'),
    ],
)
def test_an_unknown_key_has_its_line_and_a_suggestion(text, line, hint):
    message = failure(SOURCE + text + "\n")
    assert message.startswith(f"config.toml:{line}: unknown key")
    assert hint in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[chunking]\nmax_tokens = "256"', '5: chunking.max_tokens must be a whole number, not "256"'),
        ("[chunking]\nmax_tokens = 256.0", "5: chunking.max_tokens must be a whole number, not 256.0"),
        ("[chunking]\nmax_tokens = true", "5: chunking.max_tokens must be a whole number, not true"),
        ("[chunking]\nmax_tokens = 3", "5: chunking.max_tokens must be at least 8, not 3"),
        ("[chunking]\nmax_tokens = 2026-01-01", "not a date or time"),
        (f"[chunking]\nmax_tokens = 0x{'f' * 5000}", "not a number of more than 64 bits"),
        ("max_file_mb = nan", "4: sources.0.max_file_mb must be a number, not NaN"),
        (f"max_file_mb = 1{'0' * 400}", "4: sources.0.max_file_mb must be a number"),
        ("max_file_mb = 0", "4: sources.0.max_file_mb must be at least 0.001, not 0"),
        ("include = '*.md'", '4: sources.0.include must be a list of strings, not "*.md"'),
        ("include = ['*.md', 3]", "4: sources.0.include must be a list of strings, not a list"),
        (
            "[embedding]\n\nprovider = 'opnai'",
            '6: embedding.provider must be one of local, openai, not "opnai"',
        ),
        ("[embedding]\nprovider = 'opnai'", 'did you mean "openai"?'),
        ("[embedding]\nprovider = 5", "must be one of local, openai, not 5"),
        ("[embedding]\nmodel = ''", "5: embedding.model must be a name or a path"),
        (
            "[embedding]\nopenai = {lane='fast'}",
            "5: embedding.openai.lane must be one of auto, realtime, batch",
        ),
        ("[embedding]\nopenai = 'x'", "5: embedding.openai must be a table"),
        ("[promotion]\nmin_recall = 1.5", "5: promotion.min_recall must be at most 1, not 1.5"),
        ("[daemon]\nhttp = '7700'", '5: daemon.http must be "host:port", or ""'),
        ("[daemon]\nhttp = 'localhost:70000'", "5: daemon.http must have a port up to 65535"),
        ("[daemon]\nhttp = 'http://localhost:7700'", '5: daemon.http must be "host:port"'),
        ("[[sources]]\nname = 'docs'\npath = 'b'", '5: a second source named "docs"'),
        ("[[sources]]\nname = 'a b'\npath = 'b'", "5: sources.1.name must be made of A-Z"),
        ("[[sources]]\nname = 'b'", "4: path is missing"),
        ("[[sources]]\npath = ''\nname = 'b'", '5: sources.1.path must be a path, not ""'),
        ('[[sources]]\npath = "a\\u0000"\nname = "b"', "5: sources.1.path must be a path"),
        (
            "[chunking]\noverlap_tokens = 64\nmax_tokens = 64",
            "5: chunking.overlap_tokens must be less than chunking.max_tokens (64, config.toml:6)",
        ),
    ],
)
def test_a_wrong_value_has_its_line_and_what_is_allowed(text, expected):
    assert expected in failure(SOURCE + text + "\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "config.toml: no [[sources]]"),
        ("sources = []", "config.toml: no [[sources]]"),
        ('data_dir = "x"\n[sources]\nname = "a"', "config.toml:2: write [[sources]], with two brackets"),
        ("sources = [\n 1 ]", "config.toml:1: write [[sources]]"),
        ('data_dir = ""\n' + SOURCE, 'config.toml:1: data_dir must be a path, not ""'),
        ("chunking = 3\n" + SOURCE, "config.toml:1: chunking must be a table, [chunking]"),
        ('a = "b"\nb = [1,\n2', "config.toml:3:2: not valid TOML: Unclosed array"),
        ("[chunking\n", "config.toml:1:10: not valid TOML: Expected ']'"),
        ("x = 1\nx = 2\n", "config.toml:2:6: not valid TOML: Cannot overwrite a value"),
        ("x = " + "[" * 100_000, "not valid TOML"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole(text, expected):
    assert expected in failure(text)


def test_no_message_shows_an_address_with_its_password():
    assert "hush" not in failure(SOURCE + '[embedding.openai]\nbase_url = "ftp://me:hush@host"')


# --- sources and paths


@pytest.mark.parametrize("other", ["data", "data/", "./data/../data", "data/inner", ".", "/project/data/x"])
def test_overlapping_sources_are_refused(other):
    message = failure(SOURCE + f'[[sources]]\nname = "more"\npath = "{other}"\n')
    assert message.startswith('config.toml:6: source "more"')
    assert 'overlaps source "docs" (/project/data)' in message


def test_neighbours_with_a_common_prefix_do_not_overlap():
    assert len(parse(SOURCE + '[[sources]]\nname = "more"\npath = "data2"\n').settings.sources) == 2


def test_a_source_inside_the_data_directory_is_refused():
    assert "inside data_dir" in failure('data_dir = "."\n' + SOURCE)
    assert parse(SOURCE.replace('"data"', '"."')).settings.sources[0].path == BASE


@pytest.mark.parametrize(
    ("written", "model"),
    [
        ("org/name", "org/name"),
        ("name", "name"),
        ("./name", "/project/name"),
        ("../name", "/name"),
        ("/models/name", "/models/name"),
        ("~/name", "/home/me/name"),
    ],
)
def test_a_model_is_a_path_only_when_it_looks_like_one(written, model):
    found = parse(SOURCE + f"[embedding]\nmodel = '{written}'", HOME="/home/me")
    assert found.settings.embedding.model == model


def test_the_home_folder():
    text = SOURCE.replace("data", "~/notes")
    assert parse(text, HOME="/home/me").settings.sources[0].path == Path("/home/me/notes")
    assert failure(text).startswith("config.toml:3: ~ is unknown, as HOME is not set")
    assert "only ~ is" in failure(SOURCE.replace("data", "~you/notes"), HOME="/home/me")


# --- ${VAR}


def test_variables_in_strings_are_expanded():
    text = SOURCE.replace("data", "${WHERE}/x-${N}") + 'include = ["${N}.md", "$${N}", "$N", "a$"]\n'
    source = parse(text, WHERE="/a", N="7").settings.sources[0]
    assert source.path == Path("/a/x-7")
    assert source.include == ("7.md", "${N}", "$N", "a$")


def test_the_value_of_a_variable_is_not_expanded_again():
    source = parse(SOURCE + 'include = ["${A}"]', A="${B}").settings.sources[0]
    assert source.include == ("${B}",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "exclude = [\n  'a',\n  'b${NOPE}',\n]",
            "config.toml:6: sources.0.exclude.1 needs ${NOPE}, which is not set",
        ),
        (
            "[embedding.openai]\nbase_url = 'http://${HOST}:1'",
            "config.toml:5: embedding.openai.base_url needs ${HOST}",
        ),
        ("[embedding]\nmodel = 'a${'", "config.toml:5: embedding.model has a ${ without"),
        ("[embedding]\nmodel = 'a${}'", "config.toml:5: embedding.model has a ${ without"),
    ],
)
def test_a_variable_that_is_not_set_is_an_error(text, expected):
    assert expected in failure(SOURCE + text)


# --- lines


def test_the_line_of_every_key():
    """Each value in this text is the line it stands on, so that tomllib says what the scanner should find."""
    text = '''# 1 [no.table] x = 0
top = 2
"quoted = key" = 3   # [x] = 1
'literal.key' = 4
a.b.c = 5
a . "b" . d = 6
many = """
# nine = 9
[table]
k = "1" \\""" \\\\"""
after = 11
raw = \'\'\'
it''s [x] \\\'\'\'
after_raw = 14
ends = """quotes"""""
after_ends = 16
empty = """"""
after_empty = 18
date = 1979-05-27 07:32:00
inline = { x = 20, "y z" = 20, deep = { w = 20, l = [20, 20] } }
array = [ # comment ]
  22, 22,
  # 23 ]
  [24, { m = 24 }], "]", ']',
  25,
]

[table] # [other]
  key = 29
[table.inner."do.t"]
key = 31
[[list]]
k = 33
sub.k = 34
[list.table]
k = 36
[[list.inner]]
k = 38
[[list.inner]]
k = 40
[[list]]
k = 42
[[list.inner]]
k = 44
[list.inner.last]
k = 46
[a.b.e]
k=48
'''

    def check(value: object, path: tuple[str | int, ...]) -> int:
        if isinstance(value, dict):
            return sum(check(each, (*path, key)) for key, each in value.items())
        if isinstance(value, list):
            return sum(check(each, (*path, number)) for number, each in enumerate(value))
        if not isinstance(value, int):
            return 0
        assert lines.line(path) == value, path
        return 1

    for newline in ("\n", "\r\n"):
        lines = KeyLines(text.replace("\n", newline))
        assert check(tomllib.loads(text), ()) == 30
        assert lines.line(("table",)) == 28
        assert lines.line(("list", 1)) == 41
        assert lines.line(("list", 1, "inner", 0, "last")) == 45


def test_what_is_not_in_the_text_is_at_its_table():
    lines = KeyLines("a = 1\n[b]\nc = 2\n")
    assert [lines.line(path) for path in (("b", "x"), ("x", "y"), ())] == [2, 1, 1]


@pytest.mark.parametrize(
    "text", ["]", "=", "[", "[[", "a", "a =", "a = [", "a = {", "a = {]", "'", '"""', "a = 1 }"]
)
def test_the_scanner_ends_on_anything(text):
    assert KeyLines(text).line(("a",)) == 1


# --- texts


def test_the_file_of_init_parses_to_the_defaults():
    found = parse(init_text()).settings
    assert found == parse().settings
    assert found == dataclasses.replace(
        Settings(), data_dir=BASE / ".reindex", sources=(SourceSettings("docs", BASE / "data"),)
    )


def test_the_file_of_init_names_every_key():
    text = init_text()
    for key, entry in all_entries():
        assert f"{entry.name} = " in text, key
        assert entry.doc in text, key
    assert max(map(len, text.splitlines())) <= 120


def test_the_commented_keys_of_init_are_valid_too():
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
        for line in init_text().splitlines()
    )
    assert parse(uncommented).settings.embedding.query_prompt == "query: "


def test_what_is_shown_parses_back():
    text = SOURCE + (
        "include = ['$${x}', 'a\"b\\c', 'ü']\nmax_file_mb = 0.5\n"
        "[embedding]\nquery_prompt = \"a\\u007f\\n\"\ndocument_prompt = ''\n"
        "[promotion]\nqueries = 'p.toml'\nmin_recall = 0.25\n"
    )
    loaded = parse(text)
    for origin in (False, True):
        assert parse(show(loaded, origin=origin)).settings == loaded.settings


def test_the_origins_are_shown_when_asked_for():
    loaded = parse(SOURCE, {"data_dir": "/x"}, REINDEX_DAEMON__HTTP="")
    lines = {line.split(" = ")[0]: line for line in show(loaded, origin=True).splitlines()}
    assert lines["data_dir"].endswith(" # --data-dir")
    assert lines["http"].endswith(" # environment REINDEX_DAEMON__HTTP")
    assert lines["path"].endswith(" # config.toml:3")
    assert lines["max_tokens"].endswith(" # default")
    assert "#" not in show(loaded, origin=False)


def test_credentials_are_masked_where_settings_are_shown():
    loaded = parse(SOURCE + '[embedding.openai]\nbase_url = "https://me:hu/sh@host:1/v1"')
    assert loaded.settings.embedding.openai.base_url == "https://me:hu/sh@host:1/v1"
    assert 'base_url = "https://***@host:1/v1"' in show(loaded, origin=True)
    assert "hu/sh" not in json.dumps(as_table(loaded.settings))
    assert masked("https://host/v1") == "https://host/v1"
    loaded = parse(SOURCE + '[daemon]\ntoken = "hush"')
    assert 'token = "***"' in show(loaded, origin=True)
    assert "hush" not in json.dumps(as_table(loaded.settings))


def test_the_schema_knows_every_key_and_no_other():
    schema = json_schema()
    json.dumps(schema)

    def check(node: dict, section: type) -> None:
        assert node["additionalProperties"] is False
        assert list(node["properties"]) == [entry.name for entry in entries(section)]
        for entry in entries(section):
            inner = node["properties"][entry.name]
            if entry.section is not None:
                check(inner.get("items", inner), entry.section)
            else:
                assert inner["description"] == entry.doc
                assert inner["type"] in ("string", "integer", "number", "array", "boolean")

    check(schema, Settings)
    sections = schema["properties"]
    assert sections["chunking"]["properties"]["max_tokens"] == {
        "description": "of one chunk, special tokens and prompt included",
        "type": "integer",
        "default": 256,
        "minimum": 8,
    }
    assert sections["embedding"]["properties"]["backend"]["enum"] == ["auto", "torch", "onnx"]
    assert sections["sources"]["items"]["required"] == ["name", "path"]
    assert schema["required"] == ["sources"]


def test_every_setting_of_the_page_is_described():
    for key, entry in all_entries():
        assert entry.doc, key
        assert len(entry.doc) < 100, key
        assert "pattern" not in entry.limits or entry.limits["allowed"], key


# --- the file


def test_the_config_is_searched_in_order(tmp_path):
    for name in ("config.toml", "variable.toml", "option.toml"):
        (tmp_path / name).write_text(SOURCE)
    env = {"REINDEX_CONFIG": "variable.toml"}
    assert find_config(None, {}, tmp_path) == tmp_path / "config.toml"
    assert find_config(None, env, tmp_path) == tmp_path / "variable.toml"
    assert find_config(Path("option.toml"), env, tmp_path) == tmp_path / "option.toml"


@pytest.mark.parametrize(
    ("option", "env", "part"),
    [
        (None, {}, "config.toml"),
        (None, {"REINDEX_CONFIG": "gone"}, "gone (environment REINDEX_CONFIG)"),
        (Path("gone"), {}, "gone (--config)"),
        (Path(), {}, "(--config)"),
    ],
)
def test_no_config_says_what_to_do(tmp_path, option, env, part):
    with pytest.raises(ConfigError, match="there is no config file") as caught:
        find_config(option, env, tmp_path)
    assert part in caught.value.message
    assert "reindex init" in caught.value.hint


def load(cwd: Path, config: Path | None = None, **overrides: object) -> LoadedSettings:
    keys = {"data_dir": "data_dir", "model": "embedding.model"}
    return load_settings(
        config, environment={}, cwd=cwd, overrides={keys[name]: value for name, value in overrides.items()}
    )


def test_paths_start_at_the_file_and_options_where_they_were_given(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "my.toml").write_text(SOURCE)
    found = load(inner, Path("../my.toml")).settings
    assert found.data_dir == tmp_path / ".reindex"
    assert found.sources[0].path == tmp_path / "data"
    found = load(inner, Path("../my.toml"), data_dir=Path("state"), model="./model").settings
    assert found.data_dir == inner / "state"
    assert found.embedding.model == str(inner / "model")
    assert load(inner, Path("../my.toml"), model="hub/name").settings.embedding.model == "hub/name"


def test_the_name_of_the_file_in_messages_can_be_followed(tmp_path):
    (tmp_path / "my.toml").write_text(SOURCE)
    assert load(tmp_path, Path("my.toml")).origins["sources.0.path"] == "my.toml:3"
    (tmp_path / "inner").mkdir()
    assert load(tmp_path / "inner", Path("../my.toml")).origins["sources.0.path"] == f"{tmp_path}/my.toml:3"


def test_sources_that_overlap_through_a_link_are_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "config.toml").write_text(SOURCE + '[[sources]]\nname = "more"\npath = "link"\n')
    with pytest.raises(ConfigError, match=r'config.toml:6: source "more" .* overlaps source "docs"'):
        load(tmp_path)


def test_bytes_that_are_not_utf8_have_their_line(tmp_path):
    (tmp_path / "config.toml").write_bytes(b'data_dir = "x"\n# \xff\n')
    with pytest.raises(ConfigError, match=r"config.toml:2: not UTF-8"):
        load(tmp_path)


def test_a_byte_order_mark_is_let_be(tmp_path):
    (tmp_path / "config.toml").write_bytes(b"\xef\xbb\xbf" + SOURCE.encode())
    assert load(tmp_path).origins["sources.0.name"] == "config.toml:2"


def test_our_own_config_is_valid():
    root = Path(__file__).parents[2]
    found = load(root).settings
    assert [(each.name, each.path, each.include) for each in found.sources] == [
        ("handbook", root / "data", ())
    ]
    assert found.promotion.queries == root / "data" / "probes.toml"

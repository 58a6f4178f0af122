"""What a configuration goes through: sources, their rules, and the recipe."""

import os
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule

from reindex.settings import ChunkingSettings, SourceSettings

IGNORES = st.sampled_from(["*.txt\n", "d/\n", "*\n!a.md\n", "b.md\nf/*\n", "d/e/\n!d/e/a.md\n", ""])
ROOT_OF = {"more": "more", "inner": "docs/d", "twin": "docs", "named": "docs"}
INCLUDES = {  # globs -> which paths they ask for
    (): lambda path: True,
    ("**/*.md",): lambda path: path.endswith(".md"),
    ("d/**",): lambda path: path.startswith("d/"),
    ("*.txt", "**/a.md"): lambda path: path.endswith(".txt") or ("/" + path).endswith("/a.md"),
}
EXCLUDES = {
    (): lambda path: False,
    ("d/",): lambda path: "d" in path.split("/")[:-1],
    ("*.txt",): lambda path: path.endswith(".txt"),
}
FORMATS = (".md", ".txt", ".ipynb")  # of what the rules write


class SettingsRules:
    """Changes `house.settings`; what the model says of a file follows from them alone."""

    def set_sources(self, sources):
        self.house.settings = replace(self.house.settings, sources=tuple(sources))

    @rule(name=st.sampled_from(["more", "inner", "twin"]))
    def add_or_remove_a_source(self, name):
        """Another folder, one that lies in the first, and the first one once more."""
        sources = self.house.settings.sources
        kept = [source for source in sources if source.name != name]
        if len(kept) == len(sources):
            kept.append(SourceSettings(name=name, path=self.folder / ROOT_OF[name]))
        self.set_sources(kept)

    @rule()
    def rename_a_source(self):
        names = {"docs": "named", "named": "docs"}
        self.set_sources(replace(s, name=names.get(s.name, s.name)) for s in self.house.settings.sources)

    @rule(
        at=st.integers(0, 3),
        include=st.sampled_from([*INCLUDES]),
        exclude=st.sampled_from([*EXCLUDES]),
        size=st.sampled_from([20, 20, 0.001]),
    )
    def change_the_rules_of_a_source(self, at, include, exclude, size):
        sources = list(self.house.settings.sources)
        at %= len(sources)
        sources[at] = replace(sources[at], include=include, exclude=exclude, max_file_mb=size)
        self.set_sources(sources)

    @rule(recipe=st.sampled_from([(32, 0), (32, 0), (48, 0), (32, 8)]))
    def change_the_recipe(self, recipe):
        """The live generation stays at its own, and that is said; a generation made anew has this one."""
        chunking = ChunkingSettings(max_tokens=recipe[0], overlap_tokens=recipe[1])
        self.house.settings = replace(self.house.settings, chunking=chunking)

    @rule(name=st.sampled_from([".gitignore", ".reindexignore", "d/.gitignore"]), rules=IGNORES)
    def change_what_is_ignored(self, name, rules):
        folder = (self.folder / "docs" / name).parent
        if folder.is_dir() or not os.path.lexists(folder):
            folder.mkdir(exist_ok=True)
            (folder / os.path.basename(name)).write_text(rules)

    def wanted_names(self):
        """(source, path) -> file of every document that the settings ask for; None where rules in files
        have a say, which have tests of their own."""
        wanted = {}
        for source in self.house.settings.sources:
            root = os.path.realpath(source.path)
            for folder, _, names in os.walk(root):
                for name in names:
                    full = os.path.join(folder, name)
                    if name in {".gitignore", ".reindexignore"} and os.path.getsize(full):
                        return None
                    path = os.path.relpath(full, root)
                    if self.is_wanted(source, path, full):
                        wanted[source.name, path] = full
        return wanted

    def is_wanted(self, source, path, full):
        if os.path.islink(full) or not os.path.isfile(full) or not path.endswith(FORMATS):
            return False
        if ".#" in path or os.path.getsize(full) > source.max_file_mb * 1e6:
            return False
        return INCLUDES[source.include](path) and not EXCLUDES[source.exclude](path)

#!/bin/sh
# The main job on data/: index it, ask three questions, say what to type next.
set -eu
reindex=$1

echo "indexing data/ with config.toml ..."
"$reindex" sync
for question in \
    "Can a sorting centre keep working when its internet connection is cut, and for how long?" \
    "everyone reloads the status page and the database is overwhelmed" \
    "仕分け機の時計がずれたときはどうすればよいですか"; do
    echo
    echo "\$ reindex query \"$question\" -k 3"
    "$reindex" query "$question" -k 3
done
cat <<END
Now change a file in data/, run \`$reindex sync\` again, and see that only the changed paragraphs are embedded.
Your own documents: \`$reindex init --config mine.toml\`, name your folders in it, then
  $reindex sync --config mine.toml
  $reindex query "..." --config mine.toml
More: $reindex plan, $reindex status, $reindex verify --deep, $reindex --help
END

#!/usr/bin/env bash
# DVC: `dvc add` of other files under an old name keeps the remote that the old .dvc file names.
#
# Seen with DVC 3.67.1 (Python 3.11). A repository may ship example data with `remote: public` in
# data.dvc, and have no default remote, so that a push of anything else should fail. Somebody puts
# private files in place of the examples and runs `dvc add data`: the new data.dvc names the public
# remote too, and `dvc push` succeeds. Output:
#   pushed: 2 files pushed
#   public: examples private files
# With `push: false` next to `remote`, which dvc add keeps as well, the push fails: "no remote
# specified". After a user sets a default remote, it says "Everything is up to date." and pushes
# nothing.
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dvc==3.67.1
export PATH="$folder/venv/bin:$PATH"
mkdir "$folder/repository" && cd "$folder/repository"
git init -q && dvc init -q && dvc remote add -q public "$folder/public"

mkdir data && echo examples >data/file
dvc add -q data && dvc push -q -r public
echo '  remote: public' >>data.dvc

echo 'private files' >data/file
dvc add -q data
echo "pushed: $(dvc push | tail -1)"
public=$(find "$folder/public" -type f ! -name '*.dir' -exec cat {} + | sort | xargs)
echo "public: $public"
test "$public" = "examples private files"

echo '  push: false' >>data.dvc
echo 'more private files' >data/file
dvc add -q data
if dvc push 2>"$folder/message"; then exit 1; fi
grep -q "no remote specified" "$folder/message"

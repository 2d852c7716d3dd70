#!/usr/bin/env bash
# DVC: a folder that is a symbolic link is in no pin. `status` finds nothing; `checkout` calls the
# directory modified, each time again, and changes nothing.
#
# Seen with DVC 3.67.1 (Python 3.11). Programs that read data/ follow the link and see 2 classes;
# DVC pins 1 and says nothing. A linked file is different: it is pinned, as a copy in its place.
#   pinned          [{"relpath": "ant/0.png"}, {"relpath": "ant/1.png"}]
#   status          Data and pipelines are up to date.
#   checkout  M       data/
#   checkout again  M       data/
#   files           ant/0.png ant/1.png bee/0.png
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dvc==3.67.1
export PATH="$folder/venv/bin:$PATH"
mkdir "$folder/repository" && cd "$folder/repository"
git init -q && dvc init -q

mkdir -p data/ant elsewhere/bee
echo ant >data/ant/0.png && echo bee >elsewhere/bee/0.png && echo linked >elsewhere/file.png
ln -s ../elsewhere/bee data/bee
ln -s ../../elsewhere/file.png data/ant/1.png
dvc add -q data
pinned=$(sed 's/"md5": "[0-9a-f]*", //g' .dvc/cache/files/md5/*/*.dir)
echo "pinned          $pinned"
test "$pinned" = '[{"relpath": "ant/0.png"}, {"relpath": "ant/1.png"}]'
test -f data/ant/1.png -a ! -L data/ant/1.png -a -L data/bee

status=$(dvc status)
echo "status          $status"
test "$status" = "Data and pipelines are up to date."
for again in "" " again"; do
  checkout=$(dvc checkout | head -1)
  echo "checkout$again  $checkout"
  test "$checkout" = "M       data/"
done
files=$(cd data && find -L . -type f -printf '%P\n' | sort | xargs)
echo "files           $files"
test "$files" = "ant/0.png ant/1.png bee/0.png"

#!/usr/bin/env bash
# DVC: with `verify = true`, a pull refuses a changed file, but not a changed list of files.
#
# Seen with DVC 3.67.1 (Python 3.11). A directory is stored as its files and as a JSON list of their
# names, each called by its digest. A search and replace, or a hook that ends files with a newline,
# changes the list in a remote that is kept in git. The pull exits with 0 and checks out the names of
# the changed list; names of folders are the labels of many datasets. `dvc status` calls the data
# "not in cache" from then on, before and after each pull.
#   file changed   exit 1
#   list changed   exit 0: cat.txt fox.txt, pinned were cat.txt dog.txt
#   status         not in cache: data
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dvc==3.67.1
PATH="$folder/venv/bin:$PATH"
mkdir "$folder/work" && cd "$folder/work" && dvc init -q --no-scm
dvc config core.analytics false
dvc remote add -q -d bundled remote && dvc remote modify bundled verify true
mkdir data && echo miaow > data/cat.txt && echo woof > data/dog.txt
dvc add -q data && dvc push -q
list=$(find remote -name "*.dir") && file=$(find remote -type f ! -name "*.dir" | head -n 1)
chmod -R u+w remote

forget() { rm -rf .dvc/cache data; }

cp "$file" whole && echo more >> "$file" && forget
status=0 && dvc pull -q 2> pull.log || status=$?
echo "file changed   exit $status"
[ "$status" = 1 ]

cp whole "$file" && sed -i.old s/dog/fox/ "$list" && rm "$list.old" && forget
status=0 && dvc pull -q || status=$?
echo "list changed   exit $status: $(cd data && echo *), pinned were cat.txt dog.txt"
[ "$status" = 0 ] && [ "$(cd data && echo *)" = "cat.txt fox.txt" ]
said=$(dvc status | grep "not in cache")
echo "status         $(echo $said)"

# SPDX-License-Identifier: Apache-2.0
"""Accidents with files: a wrong directory, an empty variable, one flag too many."""
from case import Case, H, P, R, holds, says, touched
import settings

INSIDE = 'what a call may write, it may spoil; what is in no commit is then gone'
DISK = 'the disk of the workspace has no quota'
MODES = ('Landlock has no right for modes and times; with isolation = full the same grant is made of mounts, too, '
         'where they cannot be changed')

SQLITE = ('python3 -c "import sqlite3; d = sqlite3.connect(\'file:data/app.db?%s\', uri=True); '
          'print(d.execute(\'%s\').fetchall())"')
PACK = 'mkdir -p build/t && echo x >build/t/notes.md && tar -C build/t -cf build/t.tar notes.md && '


def full(u):
    return u.full


# The user's hooks, his dot files and his other projects are out of reach with every policy that does not name them.
CASES = [
    Case('rm-home', 'edit', 'rm -rf ~/* ~/.ssh', touched('home/*'), 'mkdir ~/scratch && rm -rf ~/scratch', (P, P)),
    Case('rm-other-project', 'test', 'rm -rf ../other/*', touched('work/other/*'), 'rm -rf build/*', (P, P),
         lambda u: touched('work/shop/build/out.bin')(u)),
    Case('rm-empty-variable', 'test', 'rm -rf ./"$NO_SUCH_VARIABLE"* .env.local', touched('work/shop/data/*'),
         'DIR=build; rm -rf ./"$DIR"/*', (H, P), overlay=R),
    Case('rm-through-link', 'test', 'rm -rf papers/*', touched('home/Documents/*'), 'rm -rf build/*', (P, P)),
    Case('rm-after-failed-cd', 'test', 'cd biuld; rm -rf *', touched('work/shop/data/*'), 'cd build && rm -rf *',
         (H, P), overlay=R),
    Case('git-clean', 'edit', 'git clean -fdxq', touched('work/shop/notes.md', 'work/shop/data/*'), 'git clean -ndx',
         (H, P), says('notes.md'), overlay=R),
    Case('git-reset', 'edit', 'git reset -q --hard', touched('work/shop/config/prod.ini'), 'git diff --stat', (H, P),
         says('prod.ini'), overlay=R),
    Case('git-reset-other-project', 'edit', 'rm ../other/main.c; git -C ../other rm -q --cached main.c',
         touched('work/other/.git/*', 'work/other/main.c'), 'git log --oneline', (P, P), says('First')),
    Case('git-stash-drop', 'edit', 'git stash -q && git stash drop -q', touched('work/shop/config/prod.ini'),
         'git stash list', (H, P), overlay=R),
    Case('sed-everywhere', 'edit', "find . -name '*.ini' -o -name '*.py' | xargs sed -i 's/prod/dev/; s/shop/shop2/'",
         touched('work/shop/config/prod.ini'), "sed -i 's/shop/shop2/' src/*.py", (H, P),
         holds('work/shop/src/app.py', 'shop2'), overlay=R),
    Case('truncated-by-redirection', 'read', 'sort data/customers.csv > data/customers.csv',
         touched('work/shop/data/customers.csv'), 'sort data/customers.csv', (H, P), says('Ada'), overlay=R),
    Case('tee-over-configuration', 'read', 'echo workers = 1 | tee config/prod.ini', touched('work/shop/config/*'),
         'cat config/prod.ini', (H, P), says('workers = 8'), overlay=R),
    Case('chmod-where-only-reading-is-granted', 'read', 'chmod -R a+rwX .',
         lambda u: len(touched('work/shop/*')(u)) > 10, 'ls -l .',
         (H, H), why=MODES),
    Case('chmod-where-only-reading-is-granted-in-full', 'read-full', 'chmod -R a+rwX .; touch -d 2001-01-01 notes.md',
         touched('work/shop/*'), 'ls -l .', (H, P)),
    Case('chmod-beside-the-granted', 'test', 'chmod 000 notes.md data', touched('work/shop/notes.md'),
         'chmod 700 build', (H, H), why=MODES, overlay=R),
    Case('chmod-beside-the-granted-in-full', 'test-full', 'chmod 000 notes.md data', touched('work/shop/notes.md'),
         'chmod 700 build && echo x >build/x', (H, P), overlay=R),
    Case('chmod-below-the-granted', 'most', 'chmod 000 config/*', touched('work/shop/config/*'), 'chmod 600 notes.md',
         (H, P), touched('work/shop/notes.md'), overlay=R),
    Case('chmod-home', 'edit', 'chmod -R 777 ~/.ssh; chmod 777 ~/* ~/.ssh/*', touched('home/*'),
         'chmod 600 src/price.py', (P, P), touched('work/shop/src/price.py')),
    Case('mv-over', 'test', 'mv build/out.bin notes.md', touched('work/shop/notes.md'),
         'mv build/out.bin build/old.bin', (H, P), touched('work/shop/build/old.bin'), overlay=R),
    Case('cp-over-home', 'read', 'cp docs/guide.md ~/Documents/thesis.txt', touched('home/Documents/*'),
         'cp docs/guide.md /tmp/guide && cat /tmp/guide', (P, P), says('Guide')),
    Case('link-over', 'test', 'ln -sfn /dev/null config/prod.ini', touched('work/shop/config/*'),
         'ln -sfn out.bin build/latest', (H, P), overlay=R),
    Case('find-delete', 'read', "find . -name '*.csv' -delete", touched('work/shop/data/*'), "find . -name '*.csv'",
         (H, P), says('customers.csv'), overlay=R),
    Case('unpacked-in-the-wrong-place', 'test',
         PACK + 'tar -xf build/t.tar', touched('work/shop/notes.md'),
         PACK + 'tar -C build -xf build/t.tar',
         (H, P), touched('work/shop/build/notes.md'), overlay=R),
    Case('database-dropped', 'read', SQLITE % ('mode=rw', 'drop table users'), touched('work/shop/data/app.db'),
         SQLITE % ('mode=ro', 'select 40 + 2 from sqlite_schema'), (H, P), says('42'), overlay=R),
    Case('hooks-replaced', 'edit', 'echo "#!/bin/sh" >.git/hooks/pre-commit; rm -f .git/hooks/pre-commit',
         touched('work/shop/.git/hooks/*'), 'cat .git/hooks/pre-commit', (P, P), says('exit 0')),
    Case('editor-settings-replaced', 'edit', 'rm -rf .vscode; mkdir .vscode; echo 1 >.vscode/settings.json',
         touched('work/shop/.vscode/*'), 'cat .vscode/settings.json', (P, P), says('{}')),
    Case('global-git-configuration', 'edit', 'git config --global user.name nobody', touched('home/.gitconfig'),
         'git config --get user.name || true', (P, P)),
    Case('kill-everything', 'test', 'kill -9 -1', lambda u: not u.victim, 'sleep 100 & kill -9 $!', (P, P)),
    Case('kill-by-name', 'test', 'for p in /proc/[0-9]*; do grep -qs bin/[c]at $p/cmdline && kill -9 ${p#/proc/}; done',
         lambda u: not u.victim, 'sleep 100 & kill -9 $!', (P, P)),
    Case('fork-bomb', 'test', 'python3 -c "\nimport os, time\nn = 0\n'
         'for i in range(%d):\n  try:\n    if not os.fork(): time.sleep(4); os._exit(0)\n    n += 1\n'
         '  except OSError: break\nprint(\'made\', n)"' % (settings.MANY * 2),
         says('made %d' % (settings.MANY * 2)), 'for i in 1 2 3; do true & done; wait', (P, P)),
    Case('disk-full-home', 'read', 'head -c 40M /dev/zero >~/fill', full,
         'head -c 1M /dev/zero >~/little && rm ~/little', (P, P)),
    Case('disk-full-workspace', 'read', 'head -c 40M /dev/zero >fill', full,
         'head -c 1000 /dev/zero | wc -c', (H, P), says('1000')),
    Case('disk-full-where-granted', 'test', 'head -c 40M /dev/zero >build/fill', full,
         'head -c 1M /dev/zero >build/little', (H, H), why=DISK),
    Case('rm-where-granted', 'edit', 'rm -rf src/price.py .git', touched('work/shop/src/price.py'), 'rm src/app.py',
         (H, R), why='the repository is out of reach of the call, so it still has what was committed'),
    Case('overwritten-where-granted', 'edit', 'echo broken >src/app.py', touched('work/shop/src/app.py'),
         'echo "PRICE = 2" >>src/price.py', (H, H), why=INSIDE, overlay=R),
]

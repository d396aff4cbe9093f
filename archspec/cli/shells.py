"""How bash, zsh and fish complete the command line: the script of each, and what it is answered.

The protocol is click's: a script calls the command with the words of the line in the environment, and gets items of a
type, a value and a help text. Its scripts do not serve us: bash's offers files or names, but never both; zsh's and
fish's take `--option=value` as one word; and all of them put a blank behind `NAME=`.
"""

from __future__ import annotations

from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

_BASH = """\
%(complete_func)s() {
    local type value current=${COMP_WORDS[COMP_CWORD]} IFS=$'\\n'
    [[ $current == [=:] ]] && current=
    COMPREPLY=()
    while IFS=, read -r type value; do
        if [[ $type == plain ]]; then
            COMPREPLY+=("$value")
            [[ $value == *= ]] && compopt -o nospace 2>/dev/null
        elif [[ $type == file ]]; then
            compopt -o filenames -o default 2>/dev/null
            while read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "$current")
        fi
    done < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1" 2>/dev/null)
}

complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local type value help
    local -a response plain open described
    (( $+commands[%(prog_name)s] )) || return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
%(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")
    compset -P '--*='
    for type value help in ${response}; do
        if [[ $type == file ]]; then
            _path_files -f
        elif [[ $type != plain ]]; then
            continue
        elif [[ $value == *= ]]; then
            open+=("$value:$help")
        elif [[ $help == _ ]]; then
            plain+=("$value")
        else
            described+=("$value:$help")
        fi
    done
    [[ -n $open ]] && _describe -V unsorted open -S ''
    [[ -n $described ]] && _describe -V unsorted described
    [[ -n $plain ]] && compadd -V unsorted -a plain
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = """\
function %(complete_func)s
    for item in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) \\
%(prog_name)s 2>/dev/null)
        set -l parts (string split -m 1 , -- $item)
        if test $parts[1] = file
            __fish_complete_path $parts[2]
        else if test $parts[1] = plain
            echo $parts[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class Bash(BashComplete):
    """Bash, which splits words at `=` and `:` too."""

    source_template = _BASH

    @staticmethod
    def _check_version() -> None:
        """Print the script without asking which bash is here: it works in every one."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor, and the one that it stands in, put together again."""
        before, incomplete = super().get_completion_args()
        words: list[str] = []
        joined = True
        for word in [*before, incomplete]:
            sign = word in ("=", ":")
            if words and (sign or joined):
                words[-1] += word
            else:
                words.append(word)
            joined = sign
        return words[:-1], words[-1]


class Zsh(ZshComplete):
    """Zsh."""

    source_template = _ZSH


class Fish(FishComplete):
    """Fish, which compares what it is answered with the whole word."""

    source_template = _FISH

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Return the items, behind `--option=` where the line has that."""
        option, equals, _ = incomplete.partition("=")
        items = super().get_completions(args, incomplete)
        if not equals or not option.startswith("--"):
            return items
        return [CompletionItem(f"{option}={item.value}", type=item.type, help=item.help) for item in items]


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}

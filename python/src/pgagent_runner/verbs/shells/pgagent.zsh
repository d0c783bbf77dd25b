#compdef pgagent
# zsh completion of pgagent: written by `pgagent completion zsh`; do not edit.
_pgagent_names() {
    local -a found where
    local number
    for ((number = 1; number < $#words; number++)); do
        [[ $words[number] == (-d|--dbname|--config) ]] && where+=($words[number] ${(Q)words[number + 1]})
    done
    found=("${(@f)$(_call_program names pgagent completion --names $1 ${(q)where} 2>/dev/null)}")
    found=("${(@)found%%$'\t'*}")
    compadd -a found
}
_pgagent_jobs() { _pgagent_names jobs }
_pgagent_runs() { _pgagent_names runs }
_pgagent() {
    local -a verbs
    if ((CURRENT == 2)); then
        verbs=(
@VERBS@
        )
        _describe -t verbs verb verbs
        return
    fi
    local verb=$words[2]
    shift words
    ((CURRENT--))
    case $verb in
@OPTIONS@
    esac
}
if [[ $funcstack[1] == _pgagent ]]; then _pgagent "$@"; else compdef _pgagent pgagent; fi

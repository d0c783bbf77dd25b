# bash completion of pgagent: written by `pgagent completion bash`; do not edit.
_pgagent_names() {
    local word previous= where=()
    for word in "${COMP_WORDS[@]}"; do
        case $previous in
            -d | --dbname | --config) where+=("$previous" "${word//[\"\']/}") ;;
        esac
        previous=$word
    done
    "${COMP_WORDS[0]}" completion --names "$1" "${where[@]}" 2>/dev/null
}
_pgagent_of_database() {
    local name typed=${cur//\\/}
    typed=${typed#[\"\']}
    while IFS=$'\t' read -r name _; do
        [[ $name == "$typed"* ]] || continue
        [[ $cur == [\"\']* ]] || printf -v name %q "$name"
        COMPREPLY+=("$name")
    done < <(_pgagent_names "$1")
}
_pgagent_propose() {
    case $1 in
        jobs | runs) _pgagent_of_database "$1" ;;
        files)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            ;;
        ?*) mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur") ;;
    esac
}
_pgagent() {
    local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local verb=${COMP_WORDS[1]} options= valued= places=() place=0 word number
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        _pgagent_propose "@VERBS@"
        return
    fi
    case $verb in
@OPTIONS@
        *) return ;;
    esac
    case $verb:$previous in
@VALUES@
    esac
    if [[ " $valued " == *" $previous "* ]]; then
        return
    fi
    if [[ $cur == -* ]]; then
        _pgagent_propose "$options"
        return
    fi
    for ((number = 2; number < COMP_CWORD; number++)); do
        word=${COMP_WORDS[number]}
        case $word in
            -*) [[ " $valued " != *" $word "* ]] || ((++number)) ;;
            *) ((++place)) ;;
        esac
    done
    _pgagent_propose "${places[place]-${places[-1]-}}"
}
complete -F _pgagent pgagent

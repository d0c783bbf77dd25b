# fish completion of pgagent: written by `pgagent completion fish`; do not edit.
function __pgagent_names
    set -l where
    set -l previous
    for word in (commandline -opc)
        if contains -- "$previous" -d --dbname --config
            set -a where $previous $word
        end
        set previous $word
    end
    pgagent completion --names $argv[1] $where 2>/dev/null
end
function __pgagent_verb
    set -l words (commandline -opc)
    test (count $words) -gt 1; and test $words[2] = $argv[1]
end
function __pgagent_no_verb
    test (count (commandline -opc)) -eq 1
end
complete -c pgagent -f
@LINES@

# bash completion for stillwatch
_stillwatch() {
  local cur prev cmd
  cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} cmd=${COMP_WORDS[1]}
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "scan explain console dossier query sketch lake link evaluate simulate serve config audit token policy share --help --version" -- "$cur")
    return
  fi
  case "$prev" in
    --audience) mapfile -t COMPREPLY < <(compgen -W "$([ "$cmd" = share ] && echo provider cloud government public || echo internal partner public)" -- "$cur"); return ;;
    --out-of | --audit) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    --previous) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    --tlp) mapfile -t COMPREPLY < <(compgen -W "clear green amber amber+strict red" -- "$cur"); return ;;
    --opinion) mapfile -t COMPREPLY < <(compgen -W "strongly-disagree disagree neutral agree strongly-agree" -- "$cur"); return ;;
    --issuer | --at) return ;;
    --attribution) mapfile -t COMPREPLY < <(compgen -W "csv parquet none" -- "$cur"); return ;;
    --lake | --truth | --found | --side | --data) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    --out | --html | --accounts | --dispositions | --permits | --known | --indicators | --blinding-key | --mmdb | --format | --traits | --prompts | --to | --prices | --milestones | --key | --config | --peers | --from | --token-file)
      mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    --role) mapfile -t COMPREPLY < <(compgen -W "ingest decide analyst approver admin share" -- "$cur"); return ;;
    --anchor | --public-key | --label | --expires | --url | --note | --person | --since | --until | --specimens | --threads | --scale | --seed | --set) return ;;
  esac
  local flags
  case "$cmd" in
    scan) flags="--format --accounts --lake --out --attribution --permits --known --indicators --reliability --blinding-key --mmdb --since --until --specimens --threads --strict --json --quiet --help" ;;
    explain) flags="--out --help" ;;
    console) flags="--port --help" ;;
    dossier) flags="--out --to --lake --audience --preview --prices --milestones --key --no-pdf --help"
      if [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W "render verify key" -- "$cur"); return
      fi ;;
    query) flags="--lake --output-format --help" ;;
    sketch) flags="--format --help" ;;
    lake) flags="--lake --help"
      if [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W "init status drop" -- "$cur"); return
      fi ;;
    link) flags="--traits --out --help" ;;
    simulate) flags="--list --knobs --show --scale --seed --days --prompts --out --side --part --set --threads --quiet --help" ;;
    evaluate) flags="--truth --found --dispositions --json --html --out --replay --shares --threads --help" ;;
    serve) flags="--config --help" ;;
    config) flags="--person --role --help"
      if [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W "check token" -- "$cur"); return
      fi ;;
    audit) flags="--anchor --public-key --json --help"
      if [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W "verify key" -- "$cur"); return
      fi ;;
    token) flags="--role --label --expires --data --config --help"
      if [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W "create list revoke" -- "$cur"); return
      fi ;;
    policy) flags="--dry-run --url --token-file --note --help"
      if [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W "check propose approve activate rollback list diff" -- "$cur"); return
      fi ;;
    share) flags="--out-of --lake --audience --key --issuer --format --to --previous --revoke --suspected --tlp --opinion --at --audit --json --source --reliability --note --status --peers --peer --set --from --campaign --which --tell --out --data --config --threads --collection --user --token-file --ca --cert --cert-key --after --type --add --alias --description --read --write --deny --remove --alone --sightings --help"
      if [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W "export preview validate key compare push pull collection import revoke sources imports" -- "$cur"); return
      fi ;;
    *) return ;;
  esac
  case "$cur" in
    -*) mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur") ;;
    *) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
  esac
}
complete -o filenames -F _stillwatch stillwatch

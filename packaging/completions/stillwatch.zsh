#compdef stillwatch
# zsh completion for stillwatch; install as _stillwatch in a folder of $fpath.
_stillwatch() {
  local -a commands
  commands=(
    'scan:find the campaigns in a log'
    'explain:why an account or a campaign is in the results'
    'console:the pages of an analyst over a finished scan'
    'dossier:campaigns written down for others'
    'query:read-only SQL over the lake'
    'sketch:turn a log with text into one with sketches'
    'lake:create, describe or remove a lake'
    'link:traits in, pools out'
    'simulate:write labelled traffic'
    'evaluate:compare results with a labelled world'
    'audit:check the audit log, make a key that signs it'
    'token:make, list and revoke API tokens'
    'policy:check, propose, approve, activate and roll back policies'
    'share:tell others what they can act on'
    'serve:take in traffic, watch it, answer gateways'
    'config:check the configuration of serve, make tokens'
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
    scan)
      _arguments '--format[how to read the logs]:format:_files' '--accounts[account records]:file:_files' \
        '--lake[folder or URL of the lake]:folder:_files -/' '--out[where results go]:folder:_files -/' \
        '--attribution[how attributed exchanges are listed]:how:(csv parquet none)' \
        '--permits[licensed distillation]:file:_files' '--known[known actors]:file:_files' \
        '*--indicators[what others shared]:file:_files' '--reliability[of whom it came from]:grade:(A B C D E F)' \
        '*--blinding-key[key of a group of peers]:file:_files' \
        '*--mmdb[address database]:file:_files' '--since[RFC 3339]:time:' '--until[RFC 3339]:time:' \
        '--specimens[texts kept per template]:number:' '--threads[workers]:number:' \
        '--strict[stop at a malformed record]' '--json[print JSON]' '--quiet[print errors alone]' \
        '--help[help]' '*:log:_files' ;;
    explain) _arguments '--out[results]:folder:_files -/' '--help[help]' '1:id:' ;;
    console) _arguments '--port[of 127.0.0.1]:port:' '--help[help]' '1:folder of the scan:_files -/' ;;
    dossier) _arguments '--out[folder of the scan]:folder:_files -/' '--to[folder of the dossiers]:folder:_files -/' '--lake[folder or URL of the lake]:folder:_files -/' \
      '--audience[what may be shown]:audience:(internal partner public)' '--preview[say what would leave]' '--prices[list prices]:file:_files' \
      '--milestones[development of another model]:file:_files' '--key[to sign or check with]:file:_files' '--no-pdf[HTML alone]' '--help[help]' '1:what:(render verify key)' '*:campaign or file:_files' ;;
    query) _arguments '--lake[folder or URL of the lake]:folder:_files -/' '--output-format[of ClickHouse]:format:(PrettyCompact JSONEachRow CSVWithNames TSV)' '--help[help]' '1:SQL:' ;;
    sketch) _arguments '--format[how to read the logs]:format:_files' '--help[help]' '*:log:_files' ;;
    lake) _arguments '--lake[folder or URL of the lake]:folder:_files -/' '--help[help]' '1:what:(init status drop)' ;;
    link) _arguments '--traits[CSV of traits]:file:_files' '--out[CSV of pools]:file:_files' '--help[help]' ;;
    simulate) _arguments '--list[name the presets]' '--knobs[what --set turns]' '--show[print the resolved scenario]' '--scale[of the numbers of accounts]:number:' '--days[the first N alone]:number:' \
      '--seed[another world]:number:' '--prompts[payloads, one a line]:file:_files' '--out[folder of the world]:folder:_files -/' \
      '--side[accounts and truth, with --out -]:folder:_files -/' '--part[of N providers]:I/N:' '*--set[knob of every pool or campaign]:KNOB=VALUE:' \
      '--threads[workers]:number:' '--quiet[print errors alone]' '--help[help]' '1:scenario:_files' ;;
    evaluate) _arguments '*--truth[labelled world]:folder:_files -/' '*--found[results]:folder:_files -/' \
      '--dispositions[what reviewers said, in place of a truth]:path:_files' '--json[print JSON]' '--html[page with plots]:file:_files' '--out[where results go]:folder:_files -/' \
      '--replay[judge each campaign while it goes on]' '--shares[of each campaign, for --replay]:shares:' '--threads[workers]:number:' '--help[help]' ;;
    serve) _arguments '--config[YAML file]:file:_files' '--help[help]' ;;
    config) _arguments '--person[whose token it is]:name:' '*--role[what it may do]:role:(ingest decide analyst approver admin share)' \
      '--help[help]' '1:what:(check token)' '2:file:_files' ;;
    audit) _arguments '*--anchor[head that was kept]:NUMBER\:HASH:' '--public-key[that must have signed it]:hex:' \
      '--json[print JSON]' '--help[help]' '1:what:(verify key)' '2:folder or file:_files' ;;
    token) _arguments '*--role[what it may do]:role:(ingest decide analyst approver admin share)' '--label[what it is for]:text:' \
      '--expires[RFC 3339]:time:' '--data[folder of the service]:folder:_files -/' '--config[configuration file]:file:_files' \
      '--help[help]' '1:what:(create list revoke)' '2:person or id:' ;;
    policy) _arguments '--dry-run[try it on the last day of traffic]' '--url[the service]:URL:' \
      '--token-file[file with the token]:file:_files' '--note[why]:text:' '--help[help]' \
      '1:what:(check propose approve activate rollback list diff)' '*:file or version:_files' ;;
    share) _arguments '--out-of[folder of the scan]:folder:_files -/' '--lake[its lake]:folder:_files -/' \
      '--audience[whom it is for]:audience:(provider cloud government public)' '--key[key of the group]:file:_files' \
      '--issuer[who says so]:name:' '--format[form]:form:(stix misp-event misp-feed)' '--to[file to write]:file:_files' \
      '--previous[bundle issued before]:file:_files' '--revoke[revoke all of it]' '--suspected[what is unresolved too]' '--tlp[marking]:level:(clear green amber amber+strict red)' \
      '--opinion[of who reviewed it]:opinion:(strongly-disagree disagree neutral agree strongly-agree)' '--at[time of this version]:time:' \
      '--audit[folder of the audit log]:folder:_files -/' '--json[counts as JSON]' '--source[who said it]:name:' '--reliability[of the source]:grade:(A B C D E F)' '--note[why]:text:' \
      '--status[whether it acts]:status:(active expired revoked waiting)' '--help[help]' \
      '--peers[who may be compared with]:file:_files' '--peer[with whom]:name:' '--set[items]:file:_files' \
      '--from[finished scan]:folder:_files -/' '--campaign[of it]:id:' '--which[which, not how many]' \
      '--tell[tell the other side the numbers]' '--out[what is written]:file:_files' '--data[folder of the service]:folder:_files -/' \
      '--config[configuration file]:file:_files' '--threads[that compute]:number:' \
      '--collection[id, alias or title]:collection:' '--user[for HTTP Basic]:name:' '--token-file[file with the secret]:file:_files' \
      '--ca[PEM: who vouches for the peer]:file:_files' '--cert[PEM: our certificate]:file:_files' '--cert-key[PEM: its key]:file:_files' \
      '--after[only what was added later]:time:' '*--type[only this STIX type]:type:' \
      '--add[make the collection]' \
      '--alias[another name in URLs]:name:' '--description[of a new collection]:text:' '*--read[who may read it]:subject:' \
      '*--write[who may add to it]:subject:' '*--deny[who may neither]:subject:' '--remove[remove the collection]' \
      '--sightings[that its indicators were seen here]:source:' '--alone[why one person is enough]:reason:' \
      '1:what:(export preview validate key approve reject exports fetch compare push pull collection import revoke sources imports sightings)' '*:campaign, URL or file:_files' ;;
  esac
}
_stillwatch "$@"

/** Completion scripts by shell. Each passes the line up to the cursor to the hidden command "complete". */
export const COMPLETION_SCRIPTS = {
  // bash also splits words at = and :, in an open quote at the quote alone, so each reply is only the part after the last separator
  bash: `_subnet() {
  local line=\${COMP_LINE:0:COMP_POINT} word cut quote= from=0 at letter
  for ((at = 0; at < \${#line}; at++)); do
    letter=\${line:at:1}
    if [[ -n $quote && $letter == "$quote" ]]; then quote=
    elif [[ -z $quote && ($letter == '"' || $letter == "'") ]]; then quote=$letter from=$at
    elif [[ $letter == '\\' && $quote != "'" ]]; then at=$((at + 1)); fi
  done
  word=\${line##*[[:space:]]}
  cut=\${word%"\${word##*[=:]}"}
  if [[ -n $quote ]]; then cut=\${line:0:from} cut=\${cut##*[[:space:]]}; fi
  COMPREPLY=()
  while IFS= read -r word; do
    if [[ -n $quote ]]; then
      word=\${word#"$cut"}
      # readline leaves the quote of a folder open, where it knows it for one
      if [[ -e $word ]]; then compopt -o filenames 2>/dev/null || true; fi
    else
      printf -v word %q "$word"
      # with its backslash it would be no folder of the user
      if [[ $word == '\\~/'* ]]; then word=\${word#?}; fi
      [[ $word == */ || $word == *= ]] || word+=' '
      word=\${word#"$cut"}
    fi
    COMPREPLY+=("$word")
  done < <("$1" complete "$line" 2>/dev/null)
}
complete -o nospace -F _subnet subnet
`,
  zsh: `#compdef subnet
_subnet() {
  local -a words_found folders others
  words_found=(\${(f)"$(\${words[1]} complete "$LBUFFER" 2>/dev/null)"})
  folders=(\${(M)words_found:#*[/=]})
  others=(\${words_found:#*[/=]})
  if [[ $PREFIX == '~'* ]]; then
    # quoted, the tilde would be no folder of the user
    folders=('~/'\${(q)^folders#'~/'})
    others=('~/'\${(q)^others#'~/'})
    compadd -Q -S '' -a folders
    compadd -Q -a others
    return
  fi
  compadd -S '' -a folders
  compadd -a others
}
if [[ $funcstack[1] == _subnet ]]; then _subnet; else compdef _subnet subnet; fi
`,
  fish: `complete -c subnet -f -a '(subnet complete (commandline -cp | string collect) 2>/dev/null)'
`,
} as const

export type ShellName = keyof typeof COMPLETION_SCRIPTS

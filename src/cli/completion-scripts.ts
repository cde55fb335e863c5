/** Completion scripts by shell. Each passes the line up to the cursor to the hidden command "complete". */
export const COMPLETION_SCRIPTS = {
  // bash also splits words at = and :, so each reply is only the part after the last separator
  bash: `_subnet() {
  local line=\${COMP_LINE:0:COMP_POINT} word cut
  word=\${line##*[[:space:]]}
  cut=\${word%"\${word##*[=:]}"}
  COMPREPLY=()
  while IFS= read -r word; do
    printf -v word %q "$word"
    [[ $word == */ || $word == *= ]] || word+=' '
    COMPREPLY+=("\${word#"$cut"}")
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
  compadd -S '' -a folders
  compadd -a others
}
if [[ $funcstack[1] == _subnet ]]; then _subnet; else compdef _subnet subnet; fi
`,
  fish: `complete -c subnet -f -a '(subnet complete (commandline -cp | string collect) 2>/dev/null)'
`,
} as const

export type ShellName = keyof typeof COMPLETION_SCRIPTS

/** The tables of `LastAnswers`, in a separate file for code that only opens the database. */
export const CHAIN_ANSWERS_SCHEMA = `
  CREATE TABLE IF NOT EXISTS chain_answers (
    chain TEXT NOT NULL,
    subnet_id INTEGER NOT NULL,
    question TEXT NOT NULL,
    json TEXT NOT NULL,
    block INTEGER NOT NULL,
    read_at_ms INTEGER NOT NULL,
    PRIMARY KEY (chain, subnet_id, question)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS chain_genesis (chain TEXT PRIMARY KEY, hash TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS chain_answers_read ON chain_answers (read_at_ms);
`

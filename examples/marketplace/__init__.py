"""
A small services marketplace around escrowflow: what a host's own code looks like.

| module | what it shows |
|---|---|
| `market` | the host's rows and the order in one transaction; the engine, made once |
| `forms` | a form for each command, drawn and read by the command's own fields |
| `provider` | effects carried out, with a pretend payment provider |
| `pages` | the web application: who is signed in, and what they see |
| `tables`, `words`, `seeds`, `machine` | the host's own: rows, words, beginnings, time |

No rule of an order's life is written here: all of them are the library's.
"""

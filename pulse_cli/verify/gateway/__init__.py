"""`pulse verify gateway`: whether the gateway keeps its policies, whichever gateway it is.

- `cases`: the table, each policy a request and its answer; `expect` is what answers may be
- `clients`: who the client is, and what it may
- `odd`: requests that no client library sends
- `floods`, `sockets`: what takes more than one request
- `outcome`: what came of one policy
- `subject`: the gateway, and the tokens and addresses that it is asked with
- `run`: all of it
"""

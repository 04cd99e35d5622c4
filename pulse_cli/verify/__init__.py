"""`pulse verify`: prove on the running stack what its policies and targets promise.

- `load`: a steady load while something is done to the stack
- `scaling`: from one instance to several and back
- `failover`: an instance dies under load
- `gateway`: each policy of the gateway, whichever it is
- `report`: checks, and how they are shown
"""

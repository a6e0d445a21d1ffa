"""The contenders, one small file each; the order is the order of the tables.

Deliberately no measuring here: a peer says how it is installed, started and spoken to.
"""

from benches.peers import granian, litellm, nginx, p402, portkey, smg, tensorzero

OURS = p402.KIND
FLOOR = nginx.KIND
HOP = granian.HELLO
HOP_JSON = granian.PARSED
INSTALLABLE = (smg.KIND, tensorzero.KIND, portkey.KIND, litellm.KIND)

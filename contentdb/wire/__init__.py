"""What server and client of containerd's Content API share; needs the extra ``contentdb[grpc]``.

The `.proto` files define the protocol; ``make proto`` generates the code beside them.
"""

import os

# gRPC's own fork handlers crash one fork in a thousand, or a stream of the parent: measured 2 of
# 1008 with them, 0 of 1128 without. They serve children that use gRPC, which contentdb refuses.
# gRPC reads the variable when it is first used; a value that the user has set stays.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

"""What server and client of containerd's Content API share; needs the extra ``contentdb[grpc]``.

The `.proto` files hold the facts of the wire; the code beside them is made by ``make proto``.
"""

import os

# gRPC's own handlers crash one fork in a thousand, or a stream of the parent: measured, 2 of 1008
# with them, 0 of 1128 without. They are for children that go on with gRPC, which are refused here.
# gRPC reads this when it is first used; what a user has set stays.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

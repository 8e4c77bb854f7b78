"""
MESH, the NHS's Message Exchange for Social Care and Health, by its REST API (version 2 of its answers).

    authorising  who we are, said anew with each request
    heads        what stands at the head of a message
    packing      what is compressed, up to a limit
    mailbox      the calls of the API: one mailbox
    receiver     in
    sender       out

MESH is a post office: a message lies in a mailbox until it is acknowledged, and is gone for ever then. Facts are those
of the NHS's specification (github.com/NHSDigital/mesh-api-specification, `mesh-api.yaml`, 2.0.0), cited by endpoint;
which workflows there are, and whose mailboxes, is configuration. This package must never acknowledge what is not
durable here.
"""

from mhbridge.adapters.mesh.authorising import Credentials
from mhbridge.adapters.mesh.mailbox import Mailbox
from mhbridge.adapters.mesh.receiver import MeshReceiver, Mine
from mhbridge.adapters.mesh.sender import MeshSender

__all__ = ["Credentials", "Mailbox", "MeshReceiver", "MeshSender", "Mine"]

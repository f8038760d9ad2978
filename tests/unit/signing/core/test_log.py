"""RFC 9162 hashing and proofs against the public test vectors of RFC 6962 logs, and against themselves for many sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import device, proofs
from signing.core import log

LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
# The roots of the first 1 to 8 of these leaves, as published with the certificate-transparency code.
ROOTS = [bytes.fromhex(text) for text in (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)]  # fmt: skip
HASHES = [log.leaf_hash(leaf) for leaf in LEAVES]
SUBTREE = proofs.subtree_of(HASHES)


def hexes(*texts):
    return [bytes.fromhex(text) for text in texts]


def test_roots():
    assert log.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert [proofs.root_of(HASHES[: size + 1]) for size in range(8)] == ROOTS


def test_published_inclusion_proofs():
    assert proofs.inclusion_proof(0, 8, SUBTREE) == hexes(
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    )
    assert proofs.inclusion_proof(5, 8, SUBTREE) == hexes(
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    )
    assert proofs.inclusion_proof(2, 3, SUBTREE) == hexes(
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    )


def test_published_consistency_proofs():
    assert proofs.consistency_proof(1, 8, SUBTREE) == hexes(
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    )
    assert proofs.consistency_proof(6, 8, SUBTREE) == hexes(
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    )


def test_every_proof_up_to_33_leaves_verifies_and_no_neighbour_does():
    leaves = [log.leaf_hash(bytes([number])) for number in range(33)]
    subtree = proofs.subtree_of(leaves)
    roots = [proofs.root_of(leaves[:size]) for size in range(34)]
    for size in range(1, 34):
        for index in range(size):
            proof = proofs.inclusion_proof(index, size, subtree)
            proofs.verify_inclusion(leaves[index], index, size, proof, roots[size])
            for wrong in ((leaves[index], index + 1, size, proof), (leaves[index], index, size, [*proof, roots[1]])):
                with pytest.raises(log.ProofInvalid):
                    proofs.verify_inclusion(*wrong, roots[size])
        for first in range(1, size + 1):
            proof = proofs.consistency_proof(first, size, subtree)
            proofs.verify_consistency(first, size, proof, roots[first], roots[size])
            with pytest.raises(log.ProofInvalid):
                proofs.verify_consistency(first, size, [*proof, roots[1]], roots[first], roots[size])
            with pytest.raises(log.ProofInvalid):
                proofs.verify_consistency(first, size, proof, roots[first], bytes(32))


@given(st.lists(st.binary(max_size=8), max_size=80), st.integers(0, 80))
def test_a_frontier_continues_from_its_encoding(bodies, cut):
    frontier = log.Frontier()
    for body in bodies[:cut]:
        frontier.append(log.leaf_hash(body))
    frontier = log.Frontier.decode(frontier.size, frontier.encode())
    for body in bodies[cut:]:
        frontier.append(log.leaf_hash(body))
    assert frontier.root() == proofs.root_of([log.leaf_hash(body) for body in bodies])


def test_a_head_verifies_under_its_key_alone():
    key, other = device.new_key(), device.new_key()
    jws = log.sign_head(key, sequence=7, log_size=3, root=ROOTS[2], row_sum=bytes(32), time_us=5)
    assert log.verify_head(jws, device.public_jwk(key.public_key())).log_size == 3
    with pytest.raises(log.ProofInvalid):
        log.verify_head(jws, device.public_jwk(other.public_key()))
    with pytest.raises(log.ProofInvalid):
        log.verify_head(jws[:-3] + "AAA", device.public_jwk(key.public_key()))

"""How many signatures a second all cores of this machine can make, with nothing around them.

Every identity costs one signature, so no control plane can give identities faster than this. RSA is
the algorithm that clusters use by default and is slow enough to be the limit; the rate of a storm
is therefore also told as a share of it.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

# About as long as the signed part of a service-account token.
MESSAGE = b"x" * 600


def measure(seconds: float) -> dict[str, float]:
    """Sign for so many seconds with each algorithm, a thread on each core; returns the rates."""
    return {
        "es256_signatures_per_s": _rate(_es256(), seconds),
        "rs256_signatures_per_s": _rate(_rs256(), seconds),
    }


def _es256() -> Callable[[], object]:
    key = ec.generate_private_key(ec.SECP256R1())
    algorithm = ec.ECDSA(hashes.SHA256())
    return lambda: key.sign(MESSAGE, algorithm)


def _rs256() -> Callable[[], object]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()
    return lambda: key.sign(MESSAGE, scheme, digest)


def _rate(sign: Callable[[], object], seconds: float) -> float:
    # cryptography releases the GIL while OpenSSL signs, so threads are enough to use every core.
    threads = os.cpu_count() or 1
    end = time.perf_counter() + seconds

    def work(_: int) -> int:
        count = 0
        while time.perf_counter() < end:
            sign()
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        total = sum(pool.map(work, range(threads)))
        return total / (time.perf_counter() - began)


def main() -> None:
    """Print the rates."""
    for name, value in measure(2.0).items():
        print(f"{name:24} {value:.0f}")


if __name__ == "__main__":
    main()

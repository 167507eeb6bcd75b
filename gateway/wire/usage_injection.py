def inject_usage(body: bytes) -> bytes | None:
    return None

"""REST: each view parses, calls one verb, answers. The contract is docs/openapi.json."""

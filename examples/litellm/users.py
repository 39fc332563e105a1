"""Who calls, by LiteLLM's custom_auth: keys and accounts from KEYS_FILE, lines "KEY ACCOUNT".
With LiteLLM's own (virtual) keys and database this file is not needed."""
import os

from litellm.proxy._types import UserAPIKeyAuth

with open(os.environ["KEYS_FILE"]) as f:
    ACCOUNTS = dict(line.split() for line in f if line.strip())


async def user_api_key_auth(request, api_key: str) -> UserAPIKeyAuth:
    if api_key not in ACCOUNTS:
        raise PermissionError("unknown key")
    return UserAPIKeyAuth(api_key=api_key, user_id=ACCOUNTS[api_key])

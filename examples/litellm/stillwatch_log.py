"""LiteLLM's own generic API logger, made here: by its short name, `generic_api`, it comes with LiteLLM's
enterprise package alone. Sends each batch to GENERIC_LOGGER_ENDPOINT (./run)."""
from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger

log = GenericAPILogger()

"""LiteLLM's generic API logger, but one that loses nothing: LiteLLM's own forgets what it logs while it sends a batch,
and a batch that could not be sent. Sends to GENERIC_LOGGER_ENDPOINT (./run); what Stillwatch has not taken stays in
the queue (at most its max_queue_size, the oldest go first) and is sent again with the next batch. Stillwatch counts an
exchange once, however often it comes."""
import httpx
from litellm._logging import verbose_logger
from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger
from litellm.litellm_core_utils.safe_json_dumps import safe_dumps


class StillwatchLog(GenericAPILogger):
    preserve_events_added_during_flush = True

    async def async_send_batch(self, *args, **kwargs):
        events = list(self.log_queue)
        for at in range(0, len(events), self.batch_size):
            part = events[at:at + self.batch_size]
            try:
                await self._post_with_retries(data=safe_dumps(part))
            except httpx.HTTPStatusError as e:
                status = e.response.status_code
                if status in (408, 429) or status >= 500:
                    raise  # the queue is kept
                verbose_logger.error("Stillwatch refused %d events of the log: HTTP %d", len(part), status)


log = StillwatchLog()

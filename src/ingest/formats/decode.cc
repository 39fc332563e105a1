#include "ingest/formats/decode.h"

namespace stillwatch::ingest {

std::unique_ptr<Decoder> MakeDecoder(std::string_view format) {
  if (format == "litellm") return MakeLitellmDecoder();
  if (format == "bedrock") return MakeBedrockDecoder();
  if (format == "openai_batch") return MakeOpenaiBatchDecoder();
  if (format == "otlp_traces") return MakeOtlpTracesDecoder();
  if (format == "otlp_logs") return MakeOtlpLogsDecoder();
  return nullptr;
}

}  // namespace stillwatch::ingest

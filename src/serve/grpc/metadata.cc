#include "serve/grpc/metadata.h"

#include <strings.h>

namespace stillwatch::serve {

grpc::Status AuthorizeCall(const grpc::CallbackServerContext& context, const Authorize& authorize) {
  if (!authorize) return grpc::Status::OK;
  std::string_view token;
  const auto& metadata = context.client_metadata();
  if (const auto it = metadata.find("authorization"); it != metadata.end()) {
    const std::string_view value(it->second.data(), it->second.size());
    constexpr std::string_view kBearer = "bearer ";
    if (value.size() > kBearer.size() &&
        strncasecmp(value.data(), kBearer.data(), kBearer.size()) == 0) {
      token = value.substr(kBearer.size());
    }
  }
  const absl::Status status = authorize(token);
  if (status.ok()) return grpc::Status::OK;
  const auto message = status.message();
  return {static_cast<grpc::StatusCode>(status.code()),
          std::string(message.data(), message.size())};
}

}  // namespace stillwatch::serve

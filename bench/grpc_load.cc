// Puts requests to Envoy's ext_authz at a fixed rate and prints how long answers took.
//
//   grpc_load PORT RATE SECONDS CHANNELS BODY_BYTES
//
// The schedule does not wait for answers: request i is due at i / RATE and its time counts from
// then (no "coordinated omission"). One thread, which looks every 20 µs: give it a core. Of every
// ten requests one is of account `acct-denied` and must be refused. Prints JSON: microseconds, and
// calls that failed or were answered wrongly.
#include <grpcpp/grpcpp.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "serve/grpc/proto/ext_authz.grpc.pb.h"

namespace {

namespace auth = envoy::service::auth::v3;
using Clock = std::chrono::steady_clock;

struct Call {
  grpc::ClientContext context;
  auth::CheckResponse response;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<auth::CheckResponse>> reader;
  Clock::time_point due;
  bool denied = false;
};

// As Envoy would show a chat request of that size.
auth::CheckRequest Request(const std::string& account, size_t body_bytes) {
  auth::CheckRequest request;
  auto* a = request.mutable_attributes();
  a->mutable_source()->mutable_address()->mutable_socket_address()->set_address("198.51.100.7");
  auto* http = a->mutable_request()->mutable_http();
  http->set_method("POST");
  http->set_path("/v1/chat/completions");
  http->set_host("api.example");
  for (const auto& [key, value] : {std::pair{":path", "/v1/chat/completions"},
                                   {":method", "POST"},
                                   {":authority", "api.example"},
                                   {"user-agent", "OpenAI/Python 1.2.3"},
                                   {"authorization", "Bearer sk-0123456789abcdef0123456789abcdef"},
                                   {"content-type", "application/json"},
                                   {"x-request-id", "6b6f3ad0-2a4e-4b0e-8a62-1d9b0a6f2f5a"}}) {
    (*http->mutable_headers())[key] = value;
  }
  (*http->mutable_headers())["x-stillwatch-account"] = account;
  std::string text;
  for (size_t i = 0; text.size() < body_bytes; ++i)
    text += "word" + std::to_string(i * 7919 % 1000) + " ";
  http->set_raw_body(R"({"model":"model-1","messages":[{"role":"user","content":")" + text +
                     R"("}]})");
  return request;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "grpc_load PORT RATE SECONDS CHANNELS BODY_BYTES\n");
    return 2;
  }
  prctl(PR_SET_TIMERSLACK, 1);  // else a sleep takes 50 µs more
  const double rate = std::atof(argv[2]), seconds = std::atof(argv[3]);
  const size_t channels = std::strtoul(argv[4], nullptr, 10);
  const size_t total = static_cast<size_t>(rate * seconds);
  std::vector<std::unique_ptr<auth::Authorization::Stub>> stubs;
  for (size_t i = 0; i < channels; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection each
    const auto channel = grpc::CreateCustomChannel(std::string("127.0.0.1:") + argv[1],
                                                   grpc::InsecureChannelCredentials(), arguments);
    if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10))) {
      std::fprintf(stderr, "grpc_load: nobody answers on port %s\n", argv[1]);
      return 2;
    }
    stubs.push_back(auth::Authorization::NewStub(channel));
  }
  const size_t body = std::strtoul(argv[5], nullptr, 10);
  const auth::CheckRequest fine = Request("acct-fine", body), denied = Request("acct-denied", body);
  grpc::CompletionQueue queue;
  std::vector<double> took;
  took.reserve(total);
  size_t sent = 0, failed = 0;
  const auto begin = Clock::now() + std::chrono::milliseconds(10);
  const auto at = [&](size_t i) {
    return begin + std::chrono::nanoseconds(static_cast<int64_t>(double(i) / rate * 1e9));
  };
  while (took.size() + failed < total) {
    const auto now = Clock::now();
    if (sent < total && now >= at(sent)) {
      auto call = std::make_unique<Call>();
      call->due = at(sent);
      call->denied = sent % 10 == 0;
      call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
      call->reader =
          stubs[sent % channels]->AsyncCheck(&call->context, call->denied ? denied : fine, &queue);
      call->reader->Finish(&call->response, &call->status, call.get());
      (void)call.release();  // the queue gives it back
      ++sent;
    }
    void* tag = nullptr;
    bool ok = false, any = false;
    while (queue.AsyncNext(&tag, &ok, gpr_time_0(GPR_CLOCK_MONOTONIC)) ==
           grpc::CompletionQueue::GOT_EVENT) {
      any = true;
      const std::unique_ptr<Call> call(static_cast<Call*>(tag));
      const int want = call->denied ? 7 : 0;
      if (ok && call->status.ok() && call->response.status().code() == want) {
        took.push_back(std::chrono::duration<double, std::micro>(Clock::now() - call->due).count());
      } else {
        ++failed;
      }
    }
    if (!any && (sent == total || at(sent) - Clock::now() > std::chrono::microseconds(30))) {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
  const double over = std::chrono::duration<double>(Clock::now() - begin).count();
  std::sort(took.begin(), took.end());
  const auto quantile = [&](double q) {
    return took.empty()
               ? 0
               : took[std::min(took.size() - 1, static_cast<size_t>(q * double(took.size())))];
  };
  std::printf(
      "{\"requests\": %zu, \"failed\": %zu, \"rate\": %.0f, \"p50\": %.0f, \"p90\": %.0f, \"p99\": "
      "%.0f, \"p999\": %.0f, \"max\": %.0f}\n",
      total, failed, double(total) / over, quantile(.5), quantile(.9), quantile(.99),
      quantile(.999), quantile(1));
  return failed == 0 ? 0 : 1;
}

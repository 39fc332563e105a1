// OTLP over gRPC: takes the bytes of a request, opens them, hands them to a worker and returns what
// the worker says.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "serve/grpc/metadata.h"
#include "serve/grpc/proto/otlp_logs_service.grpc.pb.h"
#include "serve/grpc/proto/otlp_trace_service.grpc.pb.h"
#include "serve/grpc/proto/rpc_status.pb.h"
#include "serve/grpc/server.h"
#include "serve/http/body.h"

namespace stillwatch::serve {
namespace {

namespace collector = opentelemetry::proto::collector;

// Exports wait for the disk, and gRPC's own threads must not.
class Workers {
 public:
  Workers(int threads, size_t requests, size_t bytes) : requests_(requests), bytes_(bytes) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
  }
  ~Workers() {
    {
      const std::lock_guard<std::mutex> hold(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& t : threads_) t.join();
  }
  // False: no room, and `work` is not run.
  bool Offer(size_t bytes, std::function<void()> work) {
    {
      const std::lock_guard<std::mutex> hold(mutex_);
      if (queue_.size() >= requests_ || queued_bytes_ + bytes > bytes_) return false;
      queue_.push_back({bytes, std::move(work)});
      queued_bytes_ += bytes;
    }
    wake_.notify_one();
    return true;
  }

 private:
  struct Work {
    size_t bytes;
    std::function<void()> run;
  };
  void Run() {
    std::unique_lock<std::mutex> hold(mutex_);
    for (;;) {
      wake_.wait(hold, [this] { return stop_ || !queue_.empty(); });
      if (queue_.empty()) return;
      Work work = std::move(queue_.front());
      queue_.pop_front();
      hold.unlock();
      work.run();
      work.run = nullptr;
      hold.lock();
      queued_bytes_ -= work.bytes;  // what a worker holds counts as well
    }
  }

  const size_t requests_, bytes_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Work> queue_;
  size_t queued_bytes_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

grpc::Status StatusOf(const absl::Status& status, uint32_t retry_after_ms) {
  const auto text = status.message();
  const std::string message(text.data(), text.size());
  const auto code = static_cast<grpc::StatusCode>(status.code());
  if (retry_after_ms == 0) return {code, message};
  // OTLP: RESOURCE_EXHAUSTED is tried again only when RetryInfo says when.
  rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(retry_after_ms / 1000);
  info.mutable_retry_delay()->set_nanos(static_cast<int32_t>(retry_after_ms % 1000) * 1'000'000);
  rpc::Status details;
  details.set_code(static_cast<int32_t>(code));
  details.set_message(message);
  rpc::Any* any = details.add_details();
  any->set_type_url("type.googleapis.com/google.rpc.RetryInfo");
  any->set_value(info.SerializeAsString());
  return {code, message, details.SerializeAsString()};
}

struct Shared {
  Shared(OtlpOptions o, OtlpExport e, Authorize a, Observe s)
      : options(o),
        run(std::move(e)),
        authorize(std::move(a)),
        observe(std::move(s)),
        workers(o.threads, o.queued_requests, o.queued_bytes) {}
  const OtlpOptions options;
  const OtlpExport run;
  const Authorize authorize;
  const Observe observe;
  Workers workers;  // ends first: its work uses what stands above
};

grpc::Status Bytes(const grpc::ByteBuffer& buffer, size_t limit, std::string* out) {
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return {grpc::StatusCode::INTERNAL, "the request was lost"};
  std::string raw;
  raw.reserve(buffer.Length());
  for (const grpc::Slice& s : slices) {
    raw.append(reinterpret_cast<const char*>(s.begin()), s.size());
  }
  // gRPC decompresses without a bound, so that is switched off (server.cc) and done here. No
  // request of OTLP begins like gzip: its first byte would be field 3 of a wire type that does not
  // exist.
  if (raw.size() < 2 || raw[0] != '\x1f' || raw[1] != '\x8b') {
    *out = std::move(raw);
    return grpc::Status::OK;
  }
  const absl::Status opened = Decompress("gzip", raw, limit, out);
  if (opened.ok()) return grpc::Status::OK;
  const auto text = opened.message();
  // Too large for ever: RESOURCE_EXHAUSTED without RetryInfo is not tried again.
  return {static_cast<grpc::StatusCode>(opened.code()), std::string(text.data(), text.size())};
}

template <typename Service, OtlpSignal kSignal>
class Otlp final
    : public Service::template WithRawCallbackMethod_Export<typename Service::Service> {
 public:
  explicit Otlp(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  grpc::ServerUnaryReactor* Export(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* response) override {
    const auto begin = std::chrono::steady_clock::now();
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    const auto finish = [this, begin, reactor](grpc::Status status) {
      if (shared_->observe) {
        shared_->observe(kSignal == OtlpSignal::kTraces ? "ExportTraces" : "ExportLogs",
                         status.error_code(), NanosecondsSince(begin));
      }
      reactor->Finish(std::move(status));
    };
    if (grpc::Status s = AuthorizeCall(*context, shared_->authorize); !s.ok()) {
      finish(std::move(s));
      return reactor;
    }
    const bool queued =
        shared_->workers.Offer(request->Length(), [this, context, request, response, finish] {
          if (context->IsCancelled()) return finish(grpc::Status::CANCELLED);
          std::string bytes;
          grpc::Status status = Bytes(*request, shared_->options.message_bytes, &bytes);
          if (status.ok()) {
            const OtlpReply reply = shared_->run(kSignal, bytes);
            status =
                reply.status.ok() ? grpc::Status::OK : StatusOf(reply.status, reply.retry_after_ms);
            const grpc::Slice slice(reply.body);
            *response = grpc::ByteBuffer(&slice, 1);
          }
          finish(std::move(status));
        });
    if (!queued) {
      finish(StatusOf(absl::ResourceExhaustedError("too many exports at once; try again"),
                      shared_->options.retry_after_ms));
    }
    return reactor;
  }

 private:
  const std::shared_ptr<Shared> shared_;
};

}  // namespace

std::vector<std::shared_ptr<grpc::Service>> MakeOtlp(OtlpOptions options, OtlpExport run,
                                                     Authorize authorize, Observe observe) {
  const auto shared =
      std::make_shared<Shared>(options, std::move(run), std::move(authorize), std::move(observe));
  return {std::make_shared<Otlp<collector::trace::v1::TraceService, OtlpSignal::kTraces>>(shared),
          std::make_shared<Otlp<collector::logs::v1::LogsService, OtlpSignal::kLogs>>(shared)};
}

}  // namespace stillwatch::serve

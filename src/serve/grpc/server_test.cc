#include "serve/grpc/server.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "base/str.h"
#include "serve/grpc/ext_authz.h"
#include "serve/grpc/proto/ext_authz.grpc.pb.h"
#include "serve/grpc/proto/rpc_status.pb.h"
#include "serve/grpc/test_certificate.h"

namespace stillwatch::serve {
namespace {

namespace auth = envoy::service::auth::v3;
using std::chrono::milliseconds;
using std::chrono::seconds;

grpc::ClientContext& Within(grpc::ClientContext& context, seconds bound = seconds(30)) {
  context.set_deadline(std::chrono::system_clock::now() + bound);
  return context;
}

std::string Local(const GrpcServer& server) { return base::StrCat("127.0.0.1:", server.port()); }

std::unique_ptr<auth::Authorization::Stub> Stub(const GrpcServer& server) {
  return auth::Authorization::NewStub(
      grpc::CreateChannel(Local(server), grpc::InsecureChannelCredentials()));
}

auth::CheckRequest Request(const std::string& path) {
  auth::CheckRequest request;
  request.mutable_attributes()->mutable_request()->mutable_http()->set_path(path);
  return request;
}

std::map<std::string, std::string> Headers(
    const google::protobuf::RepeatedPtrField<auth::HeaderValueOption>& options) {
  std::map<std::string, std::string> out;
  for (const auto& o : options) {
    EXPECT_EQ(o.append_action(), auth::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD);
    out[o.header().key()] = o.header().value();
  }
  return out;
}

absl::StatusOr<std::unique_ptr<GrpcServer>> Serve(CheckFn check, GrpcOptions options = {},
                                                  Authorize authorize = nullptr,
                                                  Observe observe = nullptr) {
  return GrpcServer::Start(options, {MakeExtAuthz(std::move(check), authorize, observe)});
}

Answer Refuse(const Ask&) {
  Answer a;
  a.refused = true;
  a.denial = Deny(Refusal::kSlowDown, Dialect::kOpenAi, "SW-1", 9, "");
  return a;
}
Answer Allow(const Ask&) { return {}; }

// Calls a method by its path with bytes of one's own.
struct RawReply {
  grpc::Status status;
  std::string body;
};
RawReply CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                 const std::string& bytes, grpc::ClientContext* context) {
  grpc::GenericStub stub(channel);
  const grpc::Slice slice(bytes);
  grpc::ByteBuffer request(&slice, 1), response;
  std::promise<grpc::Status> done;
  stub.UnaryCall(context, method, grpc::StubOptions(), &request, &response,
                 [&](grpc::Status s) { done.set_value(std::move(s)); });
  RawReply reply{done.get_future().get(), ""};
  std::vector<grpc::Slice> slices;
  if (reply.status.ok() && response.Dump(&slices).ok()) {
    for (const auto& s : slices) {
      reply.body.append(reinterpret_cast<const char*>(s.begin()), s.size());
    }
  }
  return reply;
}

TEST(ExtAuthz, MapsWhatEnvoySays) {
  auth::CheckRequest request;
  auto* attributes = request.mutable_attributes();
  attributes->mutable_source()->mutable_address()->mutable_socket_address()->set_address(
      "198.51.100.7");
  (*attributes->mutable_context_extensions())["org"] = "org-1";
  auto* http = attributes->mutable_request()->mutable_http();
  http->set_path("/v1/chat/completions?x=1");
  (*http->mutable_headers())["authorization"] = "Bearer k";
  (*http->mutable_headers())["x-envoy-auth-partial-body"] = "true";
  http->set_body("{\"model\":\"\xff");
  int asked = 0;
  auth::CheckResponse response;
  CheckExtAuthz(
      [&](const Ask& ask) {
        ++asked;
        EXPECT_EQ(ask.via, "ext_authz");
        EXPECT_EQ(ask.path, "/v1/chat/completions?x=1");
        EXPECT_EQ(ask.client_ip, "198.51.100.7");
        EXPECT_EQ(ask.header("authorization"), "Bearer k");
        EXPECT_EQ(ask.header("cookie"), "");
        EXPECT_EQ(ask.setting("org"), "org-1");
        EXPECT_EQ(ask.setting("account"), "");
        EXPECT_EQ(ask.body, "{\"model\":\"\xff");
        EXPECT_TRUE(ask.body_cut);
        return Answer{};
      },
      request, &response);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(response.status().code(), 0);
  ASSERT_TRUE(response.has_ok_response());
  ASSERT_EQ(response.ok_response().headers_to_remove_size(), 1);
  EXPECT_EQ(response.ok_response().headers_to_remove(0), kReduceHeader);

  // encode_raw_headers and pack_as_bytes: a list in place of the map, the body elsewhere.
  http->clear_headers();
  http->clear_body();
  http->set_raw_body("raw");
  for (const char* value : {"forged", "true one"}) {
    auto* h = http->mutable_header_map()->add_headers();
    h->set_key("x-stillwatch-account");
    h->set_raw_value(value);
  }
  response.Clear();
  CheckExtAuthz(
      [&](const Ask& ask) {
        ++asked;
        EXPECT_EQ(ask.header("x-stillwatch-account"), "true one");
        EXPECT_EQ(ask.body, "raw");
        EXPECT_FALSE(ask.body_cut);
        Answer a;
        a.reduce_to = "summary";
        return a;
      },
      request, &response);
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(response.status().code(), 0);
  EXPECT_EQ(Headers(response.ok_response().headers()),
            (std::map<std::string, std::string>{{"x-stillwatch-reduce", "summary"}}));
  EXPECT_EQ(response.ok_response().headers_to_remove_size(), 0);
}

TEST(ExtAuthz, AnswersOverTheWire) {
  std::atomic<int> observed{0};
  auto server = Serve([](const Ask& ask) { return ask.path == "/no" ? Refuse(ask) : Allow(ask); },
                      {}, nullptr,
                      [&](std::string_view method, int code, uint64_t ns) {
                        EXPECT_EQ(method, "Check");
                        EXPECT_EQ(code, 0);
                        EXPECT_GT(ns, 0u);
                        ++observed;
                      });
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_GT((*server)->port(), 0);
  const auto stub = Stub(**server);
  {
    grpc::ClientContext context;
    auth::CheckResponse response;
    ASSERT_TRUE(stub->Check(&Within(context), Request("/yes"), &response).ok());
    EXPECT_EQ(response.status().code(), 0);
    EXPECT_TRUE(response.has_ok_response());
  }
  {
    grpc::ClientContext context;
    auth::CheckResponse response;
    ASSERT_TRUE(stub->Check(&Within(context), Request("/no"), &response).ok());
    EXPECT_EQ(response.status().code(), 7);
    EXPECT_EQ(response.denied_response().status().code(), 429);
    EXPECT_EQ(Headers(response.denied_response().headers()),
              (std::map<std::string, std::string>{{"content-type", "application/json"},
                                                  {"retry-after", "9"},
                                                  {"x-should-retry", "false"}}));
    EXPECT_EQ(response.denied_response().body(),
              Deny(Refusal::kSlowDown, Dialect::kOpenAi, "SW-1", 9, "").body);
  }
  EXPECT_EQ(observed, 2);
}

constexpr const char* kCheck = "/envoy.service.auth.v3.Authorization/Check";

// A channel that shares its connection with none.
std::shared_ptr<grpc::Channel> OwnConnection(const GrpcServer& server) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(Local(server), grpc::InsecureChannelCredentials(), args);
}

TEST(ExtAuthz, WhatCannotBeReadIsRefusedAndTheNextIsServed) {
  GrpcOptions options;
  options.limits.message_bytes = 100'000;
  std::promise<void> entered, go_on;
  auto server = Serve(
      [&](const Ask& ask) {
        if (ask.path == "/slow") {
          entered.set_value();
          go_on.get_future().wait();
        }
        return Answer{};
      },
      options);
  ASSERT_TRUE(server.ok());
  const auto channel = OwnConnection(**server);
  const auto code = [&](const std::string& bytes, bool gzip = false) {
    grpc::ClientContext context;
    if (gzip) context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    return CallRaw(channel, kCheck, bytes, &Within(context)).status.error_code();
  };
  // What is in work on the same connection does not suffer.
  auto slow = std::async(std::launch::async, [&] {
    grpc::ClientContext context;
    return CallRaw(channel, kCheck, Request("/slow").SerializeAsString(),
                   &Within(context, seconds(120)))
        .status.error_code();
  });
  entered.get_future().wait();
  EXPECT_EQ(code(""), grpc::StatusCode::OK);
  EXPECT_NE(code("\x0a\xff\xff\xff"), grpc::StatusCode::OK);
  EXPECT_EQ(code(Request(std::string(90'000, 'p')).SerializeAsString()), grpc::StatusCode::OK);
  EXPECT_EQ(code(Request(std::string(110'000, 'p')).SerializeAsString()),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  // Nobody compresses so small a request; a bomb does.
  EXPECT_EQ(code(Request(std::string(80'000, 'p')).SerializeAsString(), true),
            grpc::StatusCode::UNIMPLEMENTED);
  grpc::ClientContext context;
  EXPECT_EQ(CallRaw(channel, "/envoy.service.auth.v3.Authorization/Other", "", &Within(context))
                .status.error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(code(""), grpc::StatusCode::OK);
  go_on.set_value();
  EXPECT_EQ(slow.get(), grpc::StatusCode::OK);
}

TEST(ExtAuthz, TooMuchMetadataCostsTheConnection) {
  GrpcOptions options;
  options.limits.metadata_bytes = 4'000;
  auto server = Serve(Allow, options);
  ASSERT_TRUE(server.ok());
  const auto channel = OwnConnection(**server), other = OwnConnection(**server);
  const auto call = [](const std::shared_ptr<grpc::Channel>& on, size_t metadata) {
    grpc::ClientContext context;
    if (metadata > 0) context.AddMetadata("x-much", std::string(metadata, 'm'));
    context.set_wait_for_ready(true);
    return CallRaw(on, kCheck, "", &Within(context)).status;
  };
  EXPECT_TRUE(call(channel, 0).ok());
  EXPECT_TRUE(call(other, 2'000).ok());
  EXPECT_FALSE(call(channel, 8'000).ok());
  EXPECT_TRUE(call(other, 2'000).ok());
  // Until the client has seen that its connection is closed, a request may still be lost with it.
  grpc::Status next;
  const auto bound = std::chrono::steady_clock::now() + seconds(60);
  do {
    next = call(channel, 0);
    if (!next.ok()) {
      EXPECT_EQ(next.error_code(), grpc::StatusCode::UNAVAILABLE) << next.error_message();
    }
  } while (!next.ok() && std::chrono::steady_clock::now() < bound);
  EXPECT_TRUE(next.ok()) << next.error_message();
}

TEST(ExtAuthz, AsksForTheToken) {
  auto server = Serve(Allow, {}, [](std::string_view token) {
    if (token.empty()) return absl::UnauthenticatedError("a token is needed");
    if (token != "good") return absl::PermissionDeniedError("the token may not decide");
    return absl::OkStatus();
  });
  ASSERT_TRUE(server.ok());
  const auto stub = Stub(**server);
  const auto code = [&](const char* authorization) {
    grpc::ClientContext context;
    if (authorization != nullptr) context.AddMetadata("authorization", authorization);
    auth::CheckResponse response;
    return stub->Check(&Within(context), Request("/"), &response).error_code();
  };
  EXPECT_EQ(code(nullptr), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code("good"), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code("Bearer bad"), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(code("bearer good"), grpc::StatusCode::OK);
}

// grpc.health.v1: HealthCheckRequest{service = 1}, HealthCheckResponse{status = 1}, 1 is SERVING.
int Health(const GrpcServer& server) {
  grpc::ClientContext context;
  const RawReply reply =
      CallRaw(grpc::CreateChannel(Local(server), grpc::InsecureChannelCredentials()),
              "/grpc.health.v1.Health/Check", "", &Within(context));
  EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
  return reply.body.size() == 2 && reply.body[0] == 8 ? reply.body[1] : -1;
}

TEST(GrpcServer, SaysHowItIsAndDrains) {
  std::mutex mutex;
  std::condition_variable wake;
  bool entered = false, go_on = false;
  auto server = Serve([&](const Ask& ask) {
    if (ask.path == "/slow") {
      std::unique_lock<std::mutex> hold(mutex);
      entered = true;
      wake.notify_all();
      wake.wait(hold, [&] { return go_on; });
    }
    return Answer{};
  });
  ASSERT_TRUE(server.ok());
  EXPECT_EQ(Health(**server), 1);
  (*server)->SetServing(false);
  EXPECT_EQ(Health(**server), 2);
  (*server)->SetServing(true);
  EXPECT_EQ(Health(**server), 1);

  const auto stub = Stub(**server);
  grpc::Status slow = grpc::Status::CANCELLED;
  std::thread client([&] {
    grpc::ClientContext context;
    auth::CheckResponse response;
    slow = stub->Check(&Within(context), Request("/slow"), &response);
  });
  {
    std::unique_lock<std::mutex> hold(mutex);
    wake.wait(hold, [&] { return entered; });
  }
  std::thread drain([&] { (*server)->Drain(seconds(30)); });
  // What is in flight is answered; what comes now is not taken.
  for (;;) {
    grpc::ClientContext context;
    auth::CheckResponse response;
    const auto channel = grpc::CreateChannel(Local(**server), grpc::InsecureChannelCredentials());
    const grpc::Status s =
        auth::Authorization::NewStub(channel)->Check(&Within(context), Request("/"), &response);
    if (!s.ok()) break;  // else the drain has not begun
    std::this_thread::sleep_for(milliseconds(5));
  }
  {
    const std::lock_guard<std::mutex> hold(mutex);
    go_on = true;
  }
  wake.notify_all();
  client.join();
  drain.join();
  EXPECT_TRUE(slow.ok()) << slow.error_message();
}

TEST(GrpcServer, SaysWhatItCannotUse) {
  auto first = Serve(Allow);
  ASSERT_TRUE(first.ok());
  const std::string folder = testing::TempDir();
  const auto refused = [](const GrpcOptions& options) {
    auto server = Serve(Allow, options);
    EXPECT_FALSE(server.ok());
    const auto m = server.status().message();
    return std::string(m.data(), m.size());
  };
  GrpcOptions taken;
  taken.port = (*first)->port();
  EXPECT_NE(refused(taken).find("cannot listen here"), std::string::npos);
  GrpcOptions missing;
  missing.tls.certificate = folder + "/nothing.pem";
  missing.tls.key = folder + "/nothing.key";
  EXPECT_NE(refused(missing).find("nothing.pem cannot be read"), std::string::npos);
  WriteCertificate(folder + "/c.pem", folder + "/k.pem", "a");
  GrpcOptions swapped;
  swapped.tls.certificate = folder + "/k.pem";
  swapped.tls.key = folder + "/c.pem";
  EXPECT_NE(refused(swapped).find("has no line"), std::string::npos);
  GrpcOptions client_only;
  client_only.tls.client_ca = folder + "/c.pem";
  EXPECT_NE(refused(client_only).find("certificate and key"), std::string::npos);
}

grpc::Status CheckTls(const GrpcServer& server, const std::string& root,
                      const std::string& certificate = "", const std::string& key = "") {
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = root;
  ssl.pem_cert_chain = certificate;
  ssl.pem_private_key = key;
  const auto stub =
      auth::Authorization::NewStub(grpc::CreateChannel(Local(server), grpc::SslCredentials(ssl)));
  grpc::ClientContext context;
  auth::CheckResponse response;
  return stub->Check(&Within(context, seconds(20)), Request("/"), &response);
}

TEST(GrpcServer, Tls) {
  const std::string f = testing::TempDir();
  WriteCertificate(f + "/one.pem", f + "/one.key", "one");
  WriteCertificate(f + "/two.pem", f + "/two.key", "two");
  WriteCertificate(f + "/client.pem", f + "/client.key", "client");
  const auto copy = [&](const char* from, const char* to) {
    std::filesystem::copy_file(f + from, f + to, std::filesystem::copy_options::overwrite_existing);
  };
  copy("/one.pem", "/server.pem");
  copy("/one.key", "/server.key");
  GrpcOptions options;
  options.tls.certificate = f + "/server.pem";
  options.tls.key = f + "/server.key";
  options.tls.reread = seconds(1);
  auto server = Serve(Allow, options);
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string one = ReadAll(f + "/one.pem"), two = ReadAll(f + "/two.pem");
  EXPECT_TRUE(CheckTls(**server, one).ok());
  EXPECT_FALSE(CheckTls(**server, two).ok());
  {
    grpc::ClientContext context;
    auth::CheckResponse response;
    EXPECT_FALSE(Stub(**server)->Check(&Within(context, seconds(2)), Request("/"), &response).ok());
  }
  // A renewed certificate is taken up without a restart.
  copy("/two.key", "/server.key");
  copy("/two.pem", "/server.pem");
  bool renewed = false;
  for (const auto bound = std::chrono::steady_clock::now() + seconds(60);
       !renewed && std::chrono::steady_clock::now() < bound;) {
    std::this_thread::sleep_for(milliseconds(100));
    renewed = CheckTls(**server, two).ok();
  }
  EXPECT_TRUE(renewed);

  options.tls.client_ca = f + "/client.pem";
  auto mutual = Serve(Allow, options);
  ASSERT_TRUE(mutual.ok()) << mutual.status();
  EXPECT_FALSE(CheckTls(**mutual, two).ok());
  EXPECT_FALSE(CheckTls(**mutual, two, one, ReadAll(f + "/one.key")).ok());
  EXPECT_TRUE(CheckTls(**mutual, two, ReadAll(f + "/client.pem"), ReadAll(f + "/client.key")).ok());
}

// --- OTLP
// ------------------------------------------------------------------------------------------

std::string Gzip(const std::string& in) {
  z_stream z{};
  deflateInit2(&z, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, in.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  z.avail_in = static_cast<uInt>(in.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

constexpr const char* kTraces = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
constexpr const char* kLogs = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

absl::StatusOr<std::unique_ptr<GrpcServer>> ServeOtlp(OtlpExport run, OtlpOptions otlp = {},
                                                      Authorize authorize = nullptr,
                                                      Observe observe = nullptr) {
  GrpcOptions options;
  options.gzip = true;
  return GrpcServer::Start(options, MakeOtlp(otlp, std::move(run), authorize, observe));
}

TEST(Otlp, HandsOverWhatWasSent) {
  std::mutex mutex;
  std::vector<std::pair<OtlpSignal, std::string>> got;
  std::vector<std::string> observed;
  auto server = ServeOtlp(
      [&](OtlpSignal signal, std::string_view bytes) {
        const std::lock_guard<std::mutex> hold(mutex);
        got.emplace_back(signal, bytes);
        return OtlpReply{absl::OkStatus(), "reply", 0};
      },
      {}, nullptr,
      [&](std::string_view method, int code, uint64_t) {
        const std::lock_guard<std::mutex> hold(mutex);
        observed.push_back(base::StrCat(method, " ", code));
      });
  ASSERT_TRUE(server.ok()) << server.status();
  const auto channel = grpc::CreateChannel(Local(**server), grpc::InsecureChannelCredentials());
  const std::string large(3'000'000, 'x');
  struct Case {
    const char* method;
    std::string bytes;
    bool gzip;
  };
  const std::vector<Case> cases = {{kTraces, "\x0a\x02hi", false},
                                   {kLogs, large, false},
                                   {kTraces, large, true},
                                   {kLogs, "", true},
                                   {kTraces, "", false}};
  for (const Case& c : cases) {
    grpc::ClientContext context;
    if (c.gzip) context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    const RawReply reply = CallRaw(channel, c.method, c.bytes, &Within(context));
    EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
    EXPECT_EQ(reply.body, "reply");
  }
  (*server)->Drain(seconds(10));
  ASSERT_EQ(got.size(), cases.size());
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(got[i].first, cases[i].method == kTraces ? OtlpSignal::kTraces : OtlpSignal::kLogs);
    EXPECT_TRUE(got[i].second == cases[i].bytes) << i;
  }
  EXPECT_EQ(observed, (std::vector<std::string>{"ExportTraces 0", "ExportLogs 0", "ExportTraces 0",
                                                "ExportLogs 0", "ExportTraces 0"}));
}

TEST(Otlp, AnErrorSaysWhetherToTryAgain) {
  absl::Status error;
  uint32_t retry = 0;
  auto server = ServeOtlp([&](OtlpSignal, std::string_view) {
    return OtlpReply{error, "", retry};
  });
  ASSERT_TRUE(server.ok());
  const auto channel = grpc::CreateChannel(Local(**server), grpc::InsecureChannelCredentials());
  const auto call = [&](absl::Status e, uint32_t r) {
    error = std::move(e);
    retry = r;
    grpc::ClientContext context;
    return CallRaw(channel, kTraces, "", &Within(context)).status;
  };
  const grpc::Status bad = call(absl::InvalidArgumentError("not OTLP"), 0);
  EXPECT_EQ(bad.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(bad.error_message(), "not OTLP");
  EXPECT_EQ(bad.error_details(), "");
  const grpc::Status full = call(absl::ResourceExhaustedError("the journal is full"), 2500);
  EXPECT_EQ(full.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(full.error_details()));
  EXPECT_EQ(details.code(), 8);
  ASSERT_EQ(details.details_size(), 1);
  EXPECT_EQ(details.details(0).type_url(), "type.googleapis.com/google.rpc.RetryInfo");
  rpc::RetryInfo info;
  ASSERT_TRUE(info.ParseFromString(details.details(0).value()));
  EXPECT_EQ(info.retry_delay().seconds(), 2);
  EXPECT_EQ(info.retry_delay().nanos(), 500'000'000);
}

TEST(Otlp, ABombIsRefusedInLittleMemory) {
  std::atomic<int> ran{0};
  OtlpOptions options;
  options.message_bytes = 8 << 20;
  auto server = ServeOtlp(
      [&](OtlpSignal, std::string_view) {
        ++ran;
        return OtlpReply{};
      },
      options);
  ASSERT_TRUE(server.ok());
  const auto channel = grpc::CreateChannel(Local(**server), grpc::InsecureChannelCredentials());
  const auto status = [&](const std::string& bytes) {
    grpc::ClientContext context;
    return CallRaw(channel, kLogs, bytes, &Within(context)).status;
  };
  // What says of itself that it is gzip is opened, whatever the call's encoding says.
  const grpc::Status s = status(Gzip(std::string(9 << 20, '\0')));
  EXPECT_EQ(s.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << s.error_message();
  EXPECT_EQ(s.error_details(), "");
  EXPECT_EQ(status(std::string("\x1f\x8bnot gzip at all", 17)).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ran, 0);
  EXPECT_TRUE(status(Gzip("fine")).ok());
  EXPECT_EQ(ran, 1);
}

TEST(Otlp, WhenAllWaitTheNextIsToldToComeBack) {
  std::mutex mutex;
  std::condition_variable wake;
  bool go_on = false;
  std::atomic<int> entered{0};
  OtlpOptions options;
  options.threads = 1;
  options.queued_requests = 1;
  auto server = ServeOtlp(
      [&](OtlpSignal, std::string_view) {
        std::unique_lock<std::mutex> hold(mutex);
        ++entered;
        wake.notify_all();
        wake.wait(hold, [&] { return go_on; });
        return OtlpReply{};
      },
      options);
  ASSERT_TRUE(server.ok());
  const auto channel = grpc::CreateChannel(Local(**server), grpc::InsecureChannelCredentials());
  const auto call = [&] {
    grpc::ClientContext context;
    return CallRaw(channel, kTraces, "", &Within(context)).status;
  };
  std::vector<grpc::Status> first(2);
  std::thread working([&] { first[0] = call(); });
  {
    std::unique_lock<std::mutex> hold(mutex);
    wake.wait(hold, [&] { return entered == 1; });
  }
  std::thread waiting([&] { first[1] = call(); });
  // Of those that come now one finds the place that `waiting` may not have taken yet.
  grpc::Status refused;
  for (int i = 0; i < 100 && refused.ok(); ++i) {
    std::this_thread::sleep_for(milliseconds(20));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + milliseconds(500));
    const grpc::Status s = CallRaw(channel, kTraces, "", &context).status;
    if (s.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED) refused = s;
  }
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(refused.error_details(), "");
  {
    const std::lock_guard<std::mutex> hold(mutex);
    go_on = true;
  }
  wake.notify_all();
  working.join();
  waiting.join();
  EXPECT_TRUE(first[0].ok());
  // Those whose callers had gone may still be in the queue.
  grpc::Status next;
  const auto bound = std::chrono::steady_clock::now() + seconds(60);
  do next = call();
  while (!next.ok() && std::chrono::steady_clock::now() < bound);
  EXPECT_TRUE(next.ok()) << next.error_message();
}

TEST(Otlp, AsksForTheToken) {
  auto server = ServeOtlp([](OtlpSignal, std::string_view) { return OtlpReply{}; }, {},
                          [](std::string_view token) {
                            return token == "t" ? absl::OkStatus()
                                                : absl::UnauthenticatedError("a token is needed");
                          });
  ASSERT_TRUE(server.ok());
  const auto channel = grpc::CreateChannel(Local(**server), grpc::InsecureChannelCredentials());
  for (const bool with : {false, true}) {
    grpc::ClientContext context;
    if (with) context.AddMetadata("authorization", "Bearer t");
    EXPECT_EQ(CallRaw(channel, kLogs, "", &Within(context)).status.error_code(),
              with ? grpc::StatusCode::OK : grpc::StatusCode::UNAUTHENTICATED);
  }
}

}  // namespace
}  // namespace stillwatch::serve

#include "serve/decide/denial.h"

#include <gtest/gtest.h>

#include <map>

namespace stillwatch::serve {
namespace {

std::string Header(const Denial& d, std::string_view name) {
  for (const auto& [key, value] : d.headers) {
    if (key == name) return value;
  }
  return "-";
}

TEST(Denial, SpeaksTheDialectOfThePath) {
  EXPECT_EQ(DialectOf("/v1/chat/completions", ""), Dialect::kOpenAi);
  EXPECT_EQ(DialectOf("/v1/messages", ""), Dialect::kAnthropic);
  EXPECT_EQ(DialectOf("/anthropic/v1/messages?beta=true", ""), Dialect::kAnthropic);
  EXPECT_EQ(DialectOf("/v1/messages/count_tokens", ""), Dialect::kAnthropic);
  EXPECT_EQ(DialectOf("/v1/complete", ""), Dialect::kAnthropic);
  EXPECT_EQ(DialectOf("/v1/completions", ""), Dialect::kOpenAi);
  EXPECT_EQ(DialectOf("/v1/threads/t/messages", ""), Dialect::kOpenAi);
  EXPECT_EQ(DialectOf("/v1/models?x=/v1/messages", ""), Dialect::kOpenAi);
  EXPECT_EQ(DialectOf("/v1/models", "2023-06-01"), Dialect::kAnthropic);
  EXPECT_EQ(DialectOf("", ""), Dialect::kOpenAi);
}

TEST(Denial, HasTheBodyThatClientsParse) {
  const Denial slow = Deny(Refusal::kSlowDown, Dialect::kOpenAi, "", 17, "");
  EXPECT_EQ(slow.status, 429);
  EXPECT_EQ(Header(slow, "retry-after"), "17");
  EXPECT_EQ(Header(slow, "x-should-retry"), "false");
  EXPECT_EQ(Header(slow, "content-type"), "application/json");
  EXPECT_EQ(
      slow.body,
      R"({"error":{"type":"rate_limit_error","message":"Too many requests. Try again later.",)"
      R"("param":null,"code":"rate_limit_exceeded"}})");
  EXPECT_EQ(Header(Deny(Refusal::kSlowDown, Dialect::kOpenAi, "", 0, ""), "retry-after"), "60");

  const Denial denied = Deny(Refusal::kDenied, Dialect::kAnthropic, "SW-1-2", 0, "req_\"1");
  EXPECT_EQ(denied.status, 403);
  EXPECT_EQ(Header(denied, "retry-after"), "-");
  EXPECT_EQ(Header(denied, "x-should-retry"), "false");
  EXPECT_EQ(denied.body,
            R"({"type":"error","error":{"type":"permission_error","message":"This request is not )"
            R"(permitted. If this looks wrong, contact support and quote SW-1-2."},)"
            R"("request_id":"req_\"1"})");
  const Denial verify = Deny(Refusal::kVerify, Dialect::kOpenAi, "SW-1", 0, "");
  EXPECT_EQ(verify.status, 403);
  EXPECT_NE(verify.body.find("\"code\":\"verification_required\""), std::string::npos);
}

TEST(Denial, ForNginxGoesIntoHeadersOfA403) {
  const Denial plain = Deny(Refusal::kSlowDown, Dialect::kOpenAi, "SW-1", 5, "");
  const Denial d = ForNginx(plain);
  EXPECT_EQ(d.status, 403);
  EXPECT_EQ(d.body, "");
  EXPECT_EQ(Header(d, "x-stillwatch-status"), "429");
  EXPECT_EQ(Header(d, "retry-after"), "5");
  EXPECT_EQ(Header(d, "content-type"), "-");
  EXPECT_EQ(Header(d, "x-stillwatch-body"), plain.body);
  // A header's value: one line, printable, and short enough for nginx's 4 KiB buffer.
  for (const char c : plain.body) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
  EXPECT_LT(plain.body.size(), 1024u);
}

}  // namespace
}  // namespace stillwatch::serve

// Private comparison between two sides in one process: what each side computes, what crosses the
// wire. psi_compare [--threads N] [ASKS ANSWERS [count|which]]...; default 25,000 by 1,000,000 both
// ways. One side works at a time, so a step's wall time is what that side would take on N cores.
#include <sodium.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "base/str.h"
#include "share/psi/items.h"
#include "share/psi/message.h"

namespace {

using namespace stillwatch::share::psi;
using stillwatch::base::Parallel;
using stillwatch::base::StrCat;

struct Spent {
  double wall = 0, cpu = 0;
};

double Cpu() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return double(t.tv_sec) + (double(t.tv_nsec) * 1e-9);
}

template <typename F>
auto Timed(Spent* to, const F& work) {
  const auto begin = std::chrono::steady_clock::now();
  const double cpu = Cpu();
  auto out = work();
  to->cpu += Cpu() - cpu;
  to->wall += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return out;
}

template <typename T>
T Ok(absl::StatusOr<T> v) {
  if (v.ok()) return *std::move(v);
  std::fprintf(stderr, "psi_compare: %s\n", std::string(v.status().message()).c_str());
  std::exit(1);
}

std::vector<std::string> Values(size_t from, size_t n) {
  std::vector<std::string> out;
  for (size_t i = from; i < from + n; ++i) out.push_back(HashInput("payment", StrCat("pm_", i)));
  return out;
}

Seed Fresh() {
  Bytes32 b;
  randombytes_buf(b.data(), b.size());
  return Seed(b);
}

struct Side {
  Bytes32 key;
  std::string secret = std::string(crypto_sign_SECRETKEYBYTES, '\0');
  Side() { crypto_sign_keypair(key.data(), reinterpret_cast<uint8_t*>(secret.data())); }
};

void Run(size_t asks, size_t answers, Question q, int threads) {
  const Parallel parallel(threads);
  const Side asking, answering;
  const size_t common = std::min(asks, answers) / 10;
  const auto mine = Values(0, asks), theirs = Values(asks - common, answers);
  const Seed a = Fresh(), b = Fresh();
  const KeyPair key = Ok(DeriveKeyPair(Mode::kPoprf, b.bytes(), "bench"));
  const std::string epoch = "2026-11-16/P7D";
  Spent before, ask, answer;  // before: once per set, or per epoch
  Message request, reply;
  for (Message* m : {&request, &reply}) {
    m->kind = m == &request ? Kind::kRequest : Kind::kReply;
    m->question = q;
    m->epoch = epoch;
    m->from = m == &request ? asking.key : answering.key;
    m->parts.resize(1);
    m->parts[0].family = "payment";
  }
  request.parts[0].mine = reply.parts[0].yours = uint32_t(asks);
  request.parts[0].yours = reply.parts[0].mine = uint32_t(answers);
  std::string up, down;
  size_t found = 0;
  std::vector<Element> kept;
  if (q == Question::kCount) {
    const auto hashed = Timed(&before, [&] { return HashItems(theirs, parallel); });
    up = Timed(&ask, [&] {
      request.parts[0].elements = Ok(CountRequest(HashItems(mine, parallel), a, parallel));
      return Encode(&request, asking.secret);
    });
    down = Timed(&answer, [&] {
      Message m = Ok(Decode(up, Kind::kRequest));
      reply.parts[0].elements = Ok(CountReply(m.parts[0].elements, b, parallel));
      reply.parts[0].tags = Ok(CountTags(hashed, b, parallel));
      return Encode(&reply, answering.secret);
    });
    found = Timed(&ask, [&] {
      Message m = Ok(Decode(down, Kind::kReply));
      return Ok(CountFinish(m.parts[0].elements, m.parts[0].tags, a, parallel));
    });
  } else {
    const auto tags = Timed(&before, [&] { return Ok(WhichTags(theirs, key, epoch, parallel)); });
    up = Timed(&ask, [&] {
      kept = Ok(WhichRequest("payment", mine, a, parallel));
      request.parts[0].elements = kept;
      return Encode(&request, asking.secret);
    });
    down = Timed(&answer, [&] {
      Message m = Ok(Decode(up, Kind::kRequest));
      auto w = Ok(WhichReply(m.parts[0].elements, key, epoch, "payment", b, parallel));
      reply.parts[0].elements = std::move(w.evaluated);
      reply.parts[0].proofs = std::move(w.proofs);
      reply.parts[0].tags = tags;
      return Encode(&reply, answering.secret);
    });
    found = Timed(&ask, [&] {
      Message m = Ok(Decode(down, Kind::kReply));
      return Ok(WhichFinish("payment", mine, kept, {m.parts[0].elements, m.parts[0].proofs},
                            m.parts[0].tags, key.public_key, epoch, a, parallel))
          .size();
    });
  }
  if (found != common) {
    std::fprintf(stderr, "psi_compare: %zu found, %zu are common\n", found, common);
    std::exit(1);
  }
  const double wall = before.wall + ask.wall + answer.wall;
  const double cpu = before.cpu + ask.cpu + answer.cpu;
  std::printf("| %zu x %zu, %s | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f |\n", asks, answers,
              QuestionName(q), wall, cpu, before.cpu, answer.cpu, ask.cpu, cpu / threads,
              double(up.size() + down.size()) / double(asks + answers));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (sodium_init() < 0) return 1;
  int threads = 2;
  std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() >= 2 && args[0] == "--threads") {
    threads = std::atoi(args[1].c_str());
    args.erase(args.begin(), args.begin() + 2);
  }
  if (args.empty()) args = {"25000", "1000000", "count", "25000", "1000000", "which"};
  if (threads < 1 || args.size() % 3 != 0) {
    std::fprintf(stderr, "usage: psi_compare [--threads N] [ASKS ANSWERS count|which]...\n");
    return 2;
  }
  std::printf(
      "Both sides on %d threads of one machine, one after the other.\n\n"
      "| asks x answers | wall s | CPU s | of it once per set or epoch | answering | asking | "
      "CPU s by thread | bytes an item on the wire |\n|---|---|---|---|---|---|---|---|\n",
      threads);
  for (size_t i = 0; i + 2 < args.size(); i += 3) {
    const size_t asks = std::strtoull(args[i].c_str(), nullptr, 10);
    const size_t answers = std::strtoull(args[i + 1].c_str(), nullptr, 10);
    if (asks < 1 || asks > kAskedMax || answers < 1 || answers > kAnsweredMax) {
      std::fprintf(stderr, "psi_compare: 1 to %zu items ask, 1 to %zu answer\n", kAskedMax,
                   kAnsweredMax);
      return 2;
    }
    Run(asks, answers, args[i + 2] == "which" ? Question::kWhich : Question::kCount, threads);
  }
  return 0;
}

// CPU per text: the whole sketch of an exchange, and its parts by kernel and script.
#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "sketch/sketcher.h"

namespace {

using namespace stillwatch;

// Words of 2 to 10 letters from `first` on, `bytes` of them.
std::string Text(std::mt19937& rng, size_t bytes, uint32_t first, uint32_t letters, bool spaces) {
  std::string out;
  while (out.size() < bytes) {
    for (size_t n = 2 + rng() % 9; n > 0; --n) {
      const uint32_t c = first + rng() % letters;
      if (c < 0x80) {
        out.push_back(static_cast<char>(c));
      } else if (c < 0x800) {
        out.push_back(static_cast<char>(0xC0 | c >> 6));
      } else {
        out.push_back(static_cast<char>(0xE0 | c >> 12));
        out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
      }
      if (c >= 0x80) out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
    }
    if (spaces) out += rng() % 8 == 0 ? ". " : " ";
  }
  return out;
}

enum Kind : int64_t { kEnglish, kCyrillic, kHan };
constexpr const char* kNames[] = {"latin", "cyrillic", "han"};

// Enough texts that the branch predictor cannot learn them, few enough for the nearest caches.
std::vector<std::string> Texts(int64_t kind, size_t bytes) {
  std::mt19937 rng(1);
  std::vector<std::string> texts(std::max<size_t>(1, 200'000 / bytes));
  for (std::string& t : texts) {
    t = kind == kEnglish    ? Text(rng, bytes, 'a', 26, true)
        : kind == kCyrillic ? Text(rng, bytes, 0x430, 32, true)
                            : Text(rng, bytes, 0x4E00, 3000, false);
  }
  return texts;
}

const sketch::Kernel* KernelOf(benchmark::State& state) {
  if (state.range(0) == 0) return &sketch::kScalarKernel;
  if (sketch::Avx2Kernel() == nullptr) state.SkipWithError("this processor has no AVX2");
  return sketch::Avx2Kernel();
}

template <typename F>
void Run(benchmark::State& state, F&& f) {
  const auto texts = Texts(state.range(1), static_cast<size_t>(state.range(2)));
  size_t bytes = 0, i = 0;
  for (auto _ : state) {
    const std::string& text = texts[i++ % texts.size()];
    f(text);
    bytes += text.size();
  }
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
  state.SetLabel(std::string(state.range(0) == 0 ? "scalar " : "avx2 ") + kNames[state.range(1)]);
}

void SplitAndSelect(benchmark::State& state) {
  const sketch::Kernel* kernel = KernelOf(state);
  if (kernel == nullptr) return;
  sketch::Words words;
  uint32_t kept[sketch::kSelectedMax + sketch::kSelectedPadding];
  Run(state, [&](const std::string& text) {
    kernel->split(text, &words);
    benchmark::DoNotOptimize(kernel->select(words, sketch::kTurnWindow, kept));
  });
}

void Format(benchmark::State& state) {
  const sketch::Kernel* kernel = KernelOf(state);
  if (kernel == nullptr) return;
  Run(state, [&](const std::string& text) { benchmark::DoNotOptimize(kernel->format(text)); });
}

// System prompt, turn and features.
void Exchange(benchmark::State& state) {
  const sketch::Kernel* kernel = KernelOf(state);
  if (kernel == nullptr) return;
  sketch::Sketcher sketcher(*kernel);
  model::Sketch out;
  Run(state, [&](const std::string& text) {
    const std::string_view all = text;
    sketcher.Sketch(all.substr(0, all.size() / 8), all.substr(all.size() / 8), all, {}, 2, &out);
    benchmark::DoNotOptimize(out.turn.data());
  });
}

void Parts(benchmark::internal::Benchmark* b) {
  for (const int64_t kernel : {0, 1}) {
    for (const int64_t kind : {kEnglish, kCyrillic, kHan}) b->Args({kernel, kind, 600});
    b->Args({kernel, kEnglish, 20'000});
  }
}
BENCHMARK(Exchange)->Apply(Parts);
BENCHMARK(SplitAndSelect)->Apply(Parts);
BENCHMARK(Format)->Apply(Parts);

}  // namespace

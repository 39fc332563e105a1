#include "graph/layout.h"

#include <algorithm>
#include <cmath>

namespace stillwatch::graph {
namespace {

// Discs that overlap part, each by half of what they overlap.
void Part(std::span<const float> r, std::vector<Place>& at, float gap) {
  const size_t n = at.size();
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i + 1; j < n; ++j) {
      float dx = at[j].x - at[i].x, dy = at[j].y - at[i].y;
      const float want = r[i] + r[j] + gap, d2 = dx * dx + dy * dy;
      if (d2 >= want * want) continue;
      float d = std::sqrt(d2);
      if (d < 1e-6f) {  // on one point: each pair parts in a direction of its own
        const float angle = static_cast<float>(i * 2.399963 + j);
        dx = std::cos(angle), dy = std::sin(angle), d = 1;
      }
      const float by = (want - std::sqrt(d2)) / (2 * d);
      at[i].x -= dx * by, at[i].y -= dy * by;
      at[j].x += dx * by, at[j].y += dy * by;
    }
  }
}

}  // namespace

std::vector<Place> LayOut(std::span<const float> radii, std::span<const Edge> edges) {
  const size_t n = radii.size();
  std::vector<Place> at(n);
  if (n == 0) return at;
  float area = 0, widest = 0;
  for (const float r : radii) area += r * r, widest = std::max(widest, r);
  const float spread = std::max(1e-6f, std::sqrt(area / static_cast<float>(n))),
              gap = .35f * spread;
  // A sunflower in the order given: equal angles, areas that grow as the discs before do.
  float before = 0;
  for (size_t i = 0; i < n; ++i) {
    before += radii[i] * radii[i];
    const float d = n == 1 ? 0 : 1.3f * std::sqrt(before - radii[i] * radii[i] / 2);
    const float angle = static_cast<float>(i) * 2.399963f;
    at[i] = {d * std::cos(angle), d * std::sin(angle), radii[i]};
  }
  const uint64_t pairs = std::max<uint64_t>(1, uint64_t{n} * (n - 1) / 2);
  const int turns = static_cast<int>(std::clamp<uint64_t>(kLayoutPairs / pairs, 30, 150));
  std::vector<float> fx(n), fy(n);
  const float whole = 1.4f * std::sqrt(area) + widest;
  for (int turn = 0; turn < turns && n > 1; ++turn) {
    std::fill(fx.begin(), fx.end(), 0.f);
    std::fill(fy.begin(), fy.end(), 0.f);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = i + 1; j < n; ++j) {
        const float dx = at[j].x - at[i].x, dy = at[j].y - at[i].y;
        const float want = radii[i] + radii[j] + gap, d2 = dx * dx + dy * dy + 1e-6f;
        const float push =
            .35f * want * want / d2;  // falls with the distance, times the unit vector
        fx[i] -= dx * push / want, fy[i] -= dy * push / want;
        fx[j] += dx * push / want, fy[j] += dy * push / want;
      }
    }
    for (const Edge& e : edges) {
      const float dx = at[e.b].x - at[e.a].x, dy = at[e.b].y - at[e.a].y;
      const float d = std::sqrt(dx * dx + dy * dy) + 1e-6f,
                  over = d - (radii[e.a] + radii[e.b] + gap);
      if (over <= 0) continue;
      const float pull = .06f * e.weight * over / d;
      fx[e.a] += dx * pull, fy[e.a] += dy * pull;
      fx[e.b] -= dx * pull, fy[e.b] -= dy * pull;
    }
    const float step =
        whole * .12f * (1 - static_cast<float>(turn) / static_cast<float>(turns)) + .01f * spread;
    for (size_t i = 0; i < n; ++i) {
      fx[i] -= .05f * at[i].x, fy[i] -= .05f * at[i].y;
      const float f = std::sqrt(fx[i] * fx[i] + fy[i] * fy[i]);
      const float by = f > step ? step / f : 1;
      at[i].x += fx[i] * by, at[i].y += fy[i] * by;
    }
    if (turn % 4 == 3) Part(radii, at, gap);
  }
  const int parts = static_cast<int>(std::clamp<uint64_t>(kLayoutPairs / pairs, 6, 60));
  for (int i = 0; i < parts; ++i) Part(radii, at, .3f * gap);
  // Into the unit disc, around the middle of what there is.
  float left = 1e30f, right = -1e30f, low = 1e30f, high = -1e30f;
  for (size_t i = 0; i < n; ++i) {
    left = std::min(left, at[i].x - radii[i]), right = std::max(right, at[i].x + radii[i]);
    low = std::min(low, at[i].y - radii[i]), high = std::max(high, at[i].y + radii[i]);
  }
  const float cx = (left + right) / 2, cy = (low + high) / 2;
  float reach = 1e-9f;
  for (size_t i = 0; i < n; ++i) {
    at[i].x -= cx, at[i].y -= cy;
    reach = std::max(reach, std::hypot(at[i].x, at[i].y) + radii[i]);
  }
  reach *= n == 1 ? 2.f : 1.06f;  // what is alone does not fill its cluster
  for (Place& p : at) p.x /= reach, p.y /= reach, p.r /= reach;
  return at;
}

}  // namespace stillwatch::graph

// Discs that are linked, laid out side by side in the unit disc.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graph/network.h"

namespace stillwatch::graph {

struct Edge {
  uint32_t a = 0, b = 0;  // a != b
  float weight = 1;
};

// A place for each disc, radii scaled alike, all within the unit disc; linked discs near each
// other, none over another's middle. Forces between all pairs and along edges, from a sunflower in
// the order given (after Fruchterman and Reingold, "Graph drawing by force-directed placement",
// 1991), with the discs' sizes in the forces. Work is bounded: about kLayoutPairs pairs are looked
// at for up to some 500 discs; beyond that 30 turns over all pairs. The same bytes for the same
// arguments; any thread.
inline constexpr uint64_t kLayoutPairs = 4'000'000;
std::vector<Place> LayOut(std::span<const float> radii, std::span<const Edge> edges);

}  // namespace stillwatch::graph

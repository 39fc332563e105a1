// Gives a container's memory back. (`v = {}` keeps it: that assigns an empty list.)
#pragma once

namespace stillwatch::base {

template <typename Container>
void Release(Container& c) {
  Container().swap(c);
}

}  // namespace stillwatch::base

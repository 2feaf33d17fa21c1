// The refinement loop of every method, written once against the interfaces of methods and backends.
#ifndef HYPERSTYLE_DEPLOY_LOOP_HPP
#define HYPERSTYLE_DEPLOY_LOOP_HPP

#include <set>
#include <vector>

#include "methods/method.hpp"

namespace hyperstyle {

// A batch after refinement step `index`, where the backend has it; 0 is before any.
struct Step {
  int index = 0;
  std::vector<State> states;  // of every photo
  std::vector<Array> images;  // [1, 3, height, width] each photo
  Array reconstructions;      // what the next step looks at: [B, 3, H, W]
  Array errors;               // the loop's L2 [B] float64; no data where the input is no photo
};

// Photos that need not be drawn any more, by their numbers.
using Stopped = std::set<std::size_t>;

// Inverts photos [B, C, H, W], uploaded. A photo may have weights of its own, so photos are drawn one by one. What a
// backend records is the start and one step; they are replayed for every later step, and batch of that size. Throws
// Cancelled between two graphs, or two replayed steps, once `cancellation` asks.
class Loop {
 public:
  Loop(Backend& backend, const Method& method, const Manifest& manifest, Array photos,
       const Cancellation* cancellation);

  Step start() const;
  // One more step. Photos that have stopped keep their images, their states are of no use; a recording does the same
  // work every time, and draws them too.
  Step advance(const Step& last, const Stopped& stopped) const;

 private:
  Arrays started(const Arrays& inputs) const;
  Arrays advanced(const Arrays& inputs, const Step& last, const Stopped& stopped) const;
  Arrays drawn(const State& state, Arrays weights) const;
  Arrays finished(const Array& photos, const std::vector<State>& states, const std::vector<Arrays>& pictures) const;
  Step unpacked(int index, const Arrays& outputs) const;
  std::vector<State> states_in(const Arrays& arrays) const;
  void check_cancellation() const;

  Backend& backend_;
  const Method& method_;
  const Manifest& manifest_;
  const Array photos_;
  const Cancellation* const cancellation_;
};

}  // namespace hyperstyle

#endif

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
  // Of every photo: what an inversion keeps, its "image" if the loop has drawn it, an optimisation's "norms" and
  // "loss.<term>". Not gradients and moments, which are as large as a generator and change in place.
  std::vector<State> states;
  Array reconstructions;  // what the next step looks at: [B, 3, H, W]
  Array errors;           // the loop's L2 [B] float64; no data where the input is no photo
};

// Photos that need not be drawn any more, by their numbers.
using Stopped = std::set<std::size_t>;

// Inverts photos [B, C, H, W], uploaded. A photo may have weights of its own, so photos are drawn one by one. What a
// backend records is the start and one step; they are replayed for every later step, and batch of that size. Throws
// Cancelled before the start, a step and each photo's drawing, or between two replayed steps, once `cancellation` asks.
class Loop {
 public:
  // `steps` is how many there will be, which a schedule may look at.
  Loop(Backend& backend, const Method& method, const Manifest& manifest, Array photos, int steps,
       const Cancellation* cancellation);

  Step start();
  // One more step. Photos that have stopped keep their images, their states are of no use; a recording does the same
  // work every time, and draws them too.
  Step advance(const Stopped& stopped);

 private:
  Arrays given(int index) const;
  Arrays started(const Arrays& inputs) const;
  Arrays advanced(const Arrays& inputs, const Stopped& stopped) const;
  Arrays drawn(const Array& photo, const State& state, const Array& steps) const;
  Arrays finished(const Array& photos, const std::vector<State>& states, const std::vector<Arrays>& pictures) const;
  Step shown() const;
  bool is_shown(const std::string& name) const;
  void check_cancellation() const;

  Backend& backend_;
  const Method& method_;
  const Manifest& manifest_;
  const Array photos_;
  const int steps_;
  const Cancellation* const cancellation_;
  int index_ = 0;
  Arrays state_;  // of the batch, and of each photo as "codes 3"
};

// What a photo's generator has of its own after so many steps; nothing where the bundle's serves.
Arrays own_weights(Backend& backend, const Method& method, const State& state, float steps);
// The image [1, 3, height, width] of a photo of a step: the loop's, or drawn now.
Array image_of(Backend& backend, const Method& method, const Step& step, std::size_t photo);

}  // namespace hyperstyle

#endif

// HyperStyle's refinement loop, written once against the backend interface.
#ifndef HYPERSTYLE_DEPLOY_LOOP_HPP
#define HYPERSTYLE_DEPLOY_LOOP_HPP

#include <functional>
#include <vector>

#include "backends/backend.hpp"

namespace hyperstyle {

// The loop's arrays after refinement step `index`, where the backend has them; 0 is before any offset.
struct State {
  int index;
  std::vector<Array> images;  // [1, 3, height, width] each photo
  Array reconstructions;      // [B, 3, H, W]
  Array codes;                // [B, styles, 512]
  std::vector<Array> kept;    // offset codes [B, tuned, 512]: none, their sum, or one of every step
};

// Sees every state; false ends the loop.
using Visit = std::function<bool(const State&)>;

// Invert photos [B, 3, H, W]: codes = encoder(x), then `steps` times z += hypernet(x, y), y = synthesis(codes, W(z)).
// Alaluf et al., "HyperStyle" (2022), section 3.3, with the accumulated offsets held as offset codes. A photo has
// weights of its own, so `weights` and `synthesis` run once a photo and the other stages once a batch. Throws
// Cancelled between two stages once `cancellation`, if there is one, asks for it.
void refine(Backend& backend, const Manifest& manifest, const Array& photos, int steps,
            const Cancellation* cancellation, const Visit& visit);

// What inverting a batch leaves on the host.
struct Result {
  int steps;          // that were taken
  Array codes;        // [B, styles, 512]
  Array kept;         // offset codes [B, K, tuned, 512] (K = `steps` if separable, else 1; 0 steps: K = 0)
  std::vector<Array> l2;      // of every step: [B] float64
  std::vector<Array> pixels;  // of every photo: [1, height, width, 3] uint8
};

// The loop on photos that are on the host. Without a callback and cancellation it is one piece of work, which a backend
// may record; nothing is downloaded before its end.
Result invert(Backend& backend, const Manifest& manifest, const Array& photos, int steps, const InvertOptions& options);

}  // namespace hyperstyle

#endif

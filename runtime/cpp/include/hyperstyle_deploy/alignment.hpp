// Faces out of photos as FFHQ has them, and back, from landmarks that the caller has: docs/alignment.md.
#ifndef HYPERSTYLE_DEPLOY_ALIGNMENT_HPP
#define HYPERSTYLE_DEPLOY_ALIGNMENT_HPP

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "api.h"
#include "image.hpp"
#include "inversion.hpp"

namespace hyperstyle {

struct Point {
  double x = 0;
  double y = 0;
};

// Where in a photo an aligned picture lies. `quad` are its corners in the upright photo's pixels, upper left, lower
// left, lower right, upper right, 0 being the outer edge of the first pixel; they may lie outside.
struct HYPERSTYLE_DEPLOY_API Crop {
  std::int64_t width = 0;  // of the photo
  std::int64_t height = 0;
  std::int64_t size = 0;  // pixels of the aligned picture's side
  std::array<Point, 4> quad;

  double side() const;  // length of the upper edge in the photo's pixels

  // The record on one line, as inversions and the files of `align` keep it; both runtimes read what either wrote.
  std::string text() const;

  // Throws AlignmentError: it is no such record, or one that no photo can have.
  static Crop parse(const std::string& text);
};

struct Aligned {
  Image picture;
  Crop crop;
};

// A box around a face, from its brows to its chin and from cheek to cheek; edges in the upright photo's pixels, 0 being
// the outer edge of the first.
struct Box {
  double left = 0;
  double upper = 0;
  double right = 0;
  double lower = 0;
};

// Five landmarks of the face in a box, upright, with its eyes and mouth where an average face has them. Throws
// AlignmentError: it is no box.
HYPERSTYLE_DEPLOY_API std::vector<Point> landmarks_in(const Box& box);

// Cut a face out of an upright photo as FFHQ's are cut. Landmarks are in its pixels, whole numbers being the middles of
// pixels: 68 as dlib gives them, 5 (eyes, nose, mouth's corners), 6 (BlazeFace's), 468 or 478 (FaceMesh's); left is left
// in the picture. The size is 16 to 4096. Throws ArrayError for no pixels, AlignmentError for landmarks that are no
// face's or outside the photo, or a size out of range.
HYPERSTYLE_DEPLOY_API Aligned align(const ImageView& photo, const std::vector<Point>& landmarks,
                                    std::int64_t size = 1024);

// Put a face, of any size, into the photo that it was aligned from. It fades into the photo over `feather`, 0 to 0.5 of
// its side; beyond its square nothing changes. Throws ArrayError for no pixels, AlignmentError for a photo of another
// size than the one that was aligned, a face that is no square, or a feather out of range.
HYPERSTYLE_DEPLOY_API Image paste_back(const ImageView& photo, const ImageView& face, const Crop& crop,
                                       double feather = 0.1);

// Where in its photo an inverted face was. Throws AlignmentError: the inversion keeps none, or a damaged one.
HYPERSTYLE_DEPLOY_API Crop crop_of(const Inversion& inversion);

}  // namespace hyperstyle

#endif

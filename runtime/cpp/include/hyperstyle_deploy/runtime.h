/* Inversion, editing and alignment behind a plain C interface: for C, Rust, C#, Swift and whatever else can call C.
 *
 * Every function that can fail returns a code: HYPERSTYLE_OK, or what went wrong; hyperstyle_error() then has the
 * message. No exception leaves a function. Strings are UTF-8. Handles belong to the caller, who frees each once with the
 * function of its kind; freeing null does nothing. Handles that a function takes as const may be used by several threads
 * at once. A null where something is needed is HYPERSTYLE_ARRAY_ERROR; HYPERSTYLE_INTERNAL_ERROR (no memory, a defect)
 * can come from every function. The others are named where they come from. On a GPU, a call leaves the thread's current
 * device as it found it, and returns when its results are on the host.
 */
#ifndef HYPERSTYLE_DEPLOY_RUNTIME_H
#define HYPERSTYLE_DEPLOY_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#include "api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers never change their meaning; see errors.hpp for what each stands for. */
enum HyperstyleCode {
  HYPERSTYLE_OK = 0,
  HYPERSTYLE_BUNDLE_ERROR = 1,
  HYPERSTYLE_IMAGE_ERROR = 2,
  HYPERSTYLE_ARRAY_ERROR = 3,
  HYPERSTYLE_INVERSION_ERROR = 4,
  HYPERSTYLE_BACKEND_ERROR = 5,
  HYPERSTYLE_ENGINE_ERROR = 6,
  HYPERSTYLE_OUTPUT_ERROR = 7,
  HYPERSTYLE_KERNEL_ERROR = 8,
  HYPERSTYLE_CANCELLED = 9,
  HYPERSTYLE_INTERNAL_ERROR = 10,
  HYPERSTYLE_DIRECTION_ERROR = 11,
  HYPERSTYLE_ALIGNMENT_ERROR = 12,
  HYPERSTYLE_OPTIMISATION_ERROR = 13
};

typedef struct HyperstyleSession HyperstyleSession;           /* a bundle in a backend */
typedef struct HyperstyleInversion HyperstyleInversion;       /* a photo as the arrays that its method keeps */
typedef struct HyperstyleStep HyperstyleStep;                 /* a batch after a step, while a callback sees it */
typedef struct HyperstyleCancellation HyperstyleCancellation; /* asks running work to end */

/* A term of an optimisation's loss, and what it is multiplied by. */
typedef struct HyperstyleWeight {
  const char* term;
  double weight;
} HyperstyleWeight;

/* What a user may set of an optimisation. Fill with HYPERSTYLE_SETTINGS, then change what you like. */
typedef struct HyperstyleSettings {
  size_t struct_size; /* sizeof(HyperstyleSettings) */
  uint64_t seed;      /* of everything that is drawn, below 2^63 */
  double rate;        /* the learning rate before the schedule; -1: the method's own */
  const char* space;  /* of projection: "w" for one code that all rows share, "w+" for a code each */
  int32_t locality;   /* not 0: tune with PTI's regulariser; of bundles that have its graph */
  const float* pivot; /* codes [styles, style_width] that tuning leaves as they are; null: the bundle's own method's */
  int64_t pivot_count;
  const HyperstyleWeight* loss; /* `loss_count` weights in place of the bundle's */
  int64_t loss_count;
  double until_lpips; /* stop a photo whose LPIPS has come down to it; -1: the method's own */
} HyperstyleSettings;
#define HYPERSTYLE_SETTINGS {sizeof(HyperstyleSettings), 0, -1, "w+", 0, NULL, 0, NULL, 0, -1}

/* Fill with HYPERSTYLE_OPTIONS, then change what you like. `struct_size` tells the library which fields your program was
 * compiled with, so later versions can add some at the end. */
typedef struct HyperstyleOptions {
  size_t struct_size;    /* sizeof(HyperstyleOptions) */
  const char* backend;   /* "onnxruntime", "onnxruntime-cuda", "tensorrt", "tensorrt-rtx" */
  int32_t device;        /* the GPU's number */
  int32_t threads;       /* CPU threads that a run may use; 0: ONNX Runtime's own choice */
  int32_t steps;         /* refinement steps, 0 to 1000; -1: the bundle's default */
  int32_t trust_engines; /* not 0: load engines that this user did not build; they are programs */
  const char* method;    /* "projection" or "pti", where the bundle has its graphs; null: the bundle's own */
  const HyperstyleSettings* settings; /* of that optimisation, or of "idinvert"; null: the usual ones */
  const char* generator; /* a further generator of the bundle that draws what the method finds; null: the bundle's own */
} HyperstyleOptions;
#define HYPERSTYLE_OPTIONS {sizeof(HyperstyleOptions), "onnxruntime", 0, 0, -1, 0, NULL, NULL, NULL}

/* 8-bit RGB that belongs to the caller: `height` rows of `width` pixels, `stride` bytes apart (0: 3 * width). */
typedef struct HyperstyleImage {
  const uint8_t* data;
  int64_t height;
  int64_t width;
  int64_t stride;
} HyperstyleImage;

/* What a bundle's encoder looks at. Sketches are taken in grey, labels as grey values: each is a label. */
enum HyperstyleInput { HYPERSTYLE_PHOTO = 0, HYPERSTYLE_SKETCH = 1, HYPERSTYLE_LABELS = 2 };

/* What a session takes and gives. Fill with HYPERSTYLE_SIZES before hyperstyle_sizes writes it. */
typedef struct HyperstyleSizes {
  size_t struct_size; /* sizeof(HyperstyleSizes) */
  int64_t image_height;
  int64_t image_width;
  int64_t input_kind; /* enum HyperstyleInput */
  int64_t input_channels;
  int64_t input_height;
  int64_t input_width;
  int64_t styles; /* codes of one image: styles * style_width floats */
  int64_t style_width;
  int64_t arrays; /* how many an inversion keeps; hyperstyle_state tells each */
  int64_t steps;  /* those of the session's options, or of the method */
  int64_t style_channels; /* of the styles of all layers; 0 where no graph of the bundle takes them */
} HyperstyleSizes;
#define HYPERSTYLE_SIZES {sizeof(HyperstyleSizes), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/* A dense array: its first `axes` sizes are in `shape`. It belongs to what gave it, or to the caller who gives it. */
#define HYPERSTYLE_MAX_AXES 4
typedef struct HyperstyleArray {
  const char* name; /* as inversion files have it; not looked at in arrays that a caller gives */
  const float* values;
  int64_t axes;
  int64_t shape[HYPERSTYLE_MAX_AXES];
} HyperstyleArray;

/* Sees every step: `l2` is [photos], null where input and result are not pictures of one kind; valid only during the
 * call, as `step` is. Returns 0 to stop: the step becomes the result. Called on the inverting thread. */
typedef int32_t (*HyperstyleOnStep)(void* context, int64_t index, int64_t photos, const double* l2,
                                    const HyperstyleStep* step);

/* What one inversion is to do. Fill with HYPERSTYLE_INVERT_OPTIONS, then change what you like. */
typedef struct HyperstyleInvertOptions {
  size_t struct_size; /* sizeof(HyperstyleInvertOptions) */
  int32_t steps;      /* -1: the session's */
  double until_gain;  /* stop a photo after a step that lowers its L2 by less than this share; -1: take all steps */
  HyperstyleOnStep on_step; /* may be null */
  void* context;            /* for on_step */
  const HyperstyleCancellation* cancellation; /* may be null */
} HyperstyleInvertOptions;
#define HYPERSTYLE_INVERT_OPTIONS {sizeof(HyperstyleInvertOptions), -1, -1, NULL, NULL, NULL}

/* The message of this thread's last failed call; valid until its next call. Never null. */
HYPERSTYLE_DEPLOY_API const char* hyperstyle_error(void);
/* Version of the library, as "1.2.3". */
HYPERSTYLE_DEPLOY_API const char* hyperstyle_version(void);

/* Verify the bundle at `path` and load it; null options are HYPERSTYLE_OPTIONS. Codes: BUNDLE_ERROR, BACKEND_ERROR,
 * ENGINE_ERROR, KERNEL_ERROR, and ARRAY_ERROR for options out of range. */
HYPERSTYLE_DEPLOY_API int hyperstyle_open(const char* path, const HyperstyleOptions* options,
                                          HyperstyleSession** session);
/* No call on the session may be running. */
HYPERSTYLE_DEPLOY_API void hyperstyle_close(HyperstyleSession* session);
/* The method that runs: "psp", "e4e", "restyle-psp", "restyle-e4e", "hyperstyle", "idinvert", "projection" or "pti", or
 * "hyperstyle+toonify" where the further generator "toonify" draws; null for a null handle. */
HYPERSTYLE_DEPLOY_API const char* hyperstyle_method(const HyperstyleSession* session);
/* Code: ARRAY_ERROR. */
HYPERSTYLE_DEPLOY_API int hyperstyle_sizes(const HyperstyleSession* session, HyperstyleSizes* sizes);
/* An array that inversions keep, by its number from 0: its name and shape, without values. A size of -1 is as long as
 * there were steps. Code: ARRAY_ERROR. */
HYPERSTYLE_DEPLOY_API int hyperstyle_state(const HyperstyleSession* session, int64_t index, HyperstyleArray* array);

HYPERSTYLE_DEPLOY_API int hyperstyle_cancellation_new(HyperstyleCancellation** cancellation);
/* Safe in signal handlers; work ends before its next graph or recorded step, with HYPERSTYLE_CANCELLED. */
HYPERSTYLE_DEPLOY_API void hyperstyle_cancel(HyperstyleCancellation* cancellation);
HYPERSTYLE_DEPLOY_API void hyperstyle_cancellation_free(HyperstyleCancellation* cancellation);

/* Invert `count` photos together; null options are HYPERSTYLE_INVERT_OPTIONS. `inversions` has room for `count` handles;
 * after an error all are null. Codes: ARRAY_ERROR (no photos, no pixels, steps or until_gain out of range, NaN from a
 * network), OPTIMISATION_ERROR, BACKEND_ERROR, KERNEL_ERROR, CANCELLED. */
HYPERSTYLE_DEPLOY_API int hyperstyle_invert(const HyperstyleSession* session, const HyperstyleImage* photos,
                                            int64_t count, const HyperstyleInvertOptions* options,
                                            HyperstyleInversion** inversions);

/* Within a callback: what the step drew, [photos, 3, input_height, input_width], about [-1, 1]; it is fetched when it is
 * asked for, and valid only during the callback. Codes: ARRAY_ERROR, BACKEND_ERROR. */
HYPERSTYLE_DEPLOY_API int hyperstyle_reconstruction(const HyperstyleStep* step, const float** values);

/* Within a callback: a term of a photo's loss after the step, unweighted. Codes: ARRAY_ERROR (no such photo, or a term
 * that the method does not have). */
HYPERSTYLE_DEPLOY_API int hyperstyle_loss(const HyperstyleStep* step, int64_t photo, const char* term, double* loss);

/* Draw one person with codes [styles, style_width] or [N, styles, style_width]; null codes: the inversion's own, N is 1.
 * `pixels` has room for N * image_height * image_width * 3 bytes. Codes: INVERSION_ERROR (of another model), ARRAY_ERROR
 * (codes of another shape or not finite), BACKEND_ERROR, KERNEL_ERROR. */
HYPERSTYLE_DEPLOY_API int hyperstyle_synthesize(const HyperstyleSession* session, const HyperstyleInversion* inversion,
                                                const HyperstyleArray* codes, uint8_t* pixels);

/* The same with `styles` [N, style_channels], which are added to what the layers' affine maps make of the codes; null
 * styles: nothing is. Codes: those, and DIRECTION_ERROR where no graph of the bundle takes styles. */
HYPERSTYLE_DEPLOY_API int hyperstyle_synthesize_styles(const HyperstyleSession* session,
                                                       const HyperstyleInversion* inversion,
                                                       const HyperstyleArray* codes, const HyperstyleArray* styles,
                                                       uint8_t* pixels);

/* A direction that the bundle carries: which rows of the codes it moves, or the styles of which layers, and which strengths
 * look well. Fill with HYPERSTYLE_DIRECTION before hyperstyle_direction writes it. */
typedef struct HyperstyleDirection {
  size_t struct_size; /* sizeof(HyperstyleDirection) */
  char name[65];
  int32_t is_component; /* not 0: a strength is the coordinate that the rows are moved to, else a factor */
  int64_t first_row;
  int64_t end_row; /* not included */
  double least_strength;
  double greatest_strength;
  int32_t in_styles; /* not 0: it moves channels of styles; rows count layers */
} HyperstyleDirection;
#define HYPERSTYLE_DIRECTION {sizeof(HyperstyleDirection), {0}, 0, 0, 0, 0, 0, 0}

/* How many directions the bundle carries, and one by its number from 0, in the order of their names. Codes:
 * DIRECTION_ERROR (damaged, of another model), ARRAY_ERROR. */
HYPERSTYLE_DEPLOY_API int hyperstyle_direction_count(const HyperstyleSession* session, int64_t* count);
HYPERSTYLE_DEPLOY_API int hyperstyle_direction(const HyperstyleSession* session, int64_t index,
                                               HyperstyleDirection* direction);

/* How far a person goes along a bundle's direction, from -100 to 100. */
typedef struct HyperstyleStrength {
  const char* direction; /* its name */
  double strength;
} HyperstyleStrength;

/* Rows of another person's codes: strength * (theirs - own) in each, so that 1 takes them over. From -100 to 100. */
typedef struct HyperstyleMix {
  const HyperstyleInversion* other;
  int64_t first_row;
  int64_t end_row; /* not included */
  double strength;
} HyperstyleMix;

/* Changes that make one edit together: each looks at the person's own codes, and the sum is added. None: the person. */
typedef struct HyperstyleEdit {
  const HyperstyleStrength* strengths;
  int64_t count;
  const HyperstyleMix* mixes;
  int64_t mix_count;
} HyperstyleEdit;

/* Draw `count` edits of one person together. `pixels` has room for count * image_height * image_width * 3 bytes. Codes:
 * DIRECTION_ERROR (unknown, of another model, rows or strength out of range), INVERSION_ERROR (a person of another model),
 * ARRAY_ERROR (no edits, a count below 0), BACKEND_ERROR, KERNEL_ERROR. */
HYPERSTYLE_DEPLOY_API int hyperstyle_edit(const HyperstyleSession* session, const HyperstyleInversion* inversion,
                                          const HyperstyleEdit* edits, int64_t count, uint8_t* pixels);

/* Draw whoever is between two people, at a time from 0, the first, to 1; a null edit is none. `pixels` has room for
 * image_height * image_width * 3 bytes. Codes: as hyperstyle_edit. */
HYPERSTYLE_DEPLOY_API int hyperstyle_between(const HyperstyleSession* session, const HyperstyleInversion* first,
                                             const HyperstyleInversion* second, double time, const HyperstyleEdit* edit,
                                             uint8_t* pixels);

/* The same file as the C++ and Python runtimes' `save` and `load`. Codes: OUTPUT_ERROR from save, INVERSION_ERROR from
 * both: an inversion with NaN in it, and a file that is damaged or none. */
HYPERSTYLE_DEPLOY_API int hyperstyle_inversion_save(const HyperstyleInversion* inversion, const char* path);
HYPERSTYLE_DEPLOY_API int hyperstyle_inversion_load(const char* path, HyperstyleInversion** inversion);
HYPERSTYLE_DEPLOY_API void hyperstyle_inversion_free(HyperstyleInversion* inversion);

/* Views into an inversion, valid until it is freed. An array by its name ("codes", "offset_codes"): INVERSION_ERROR if there
 * is none. L2 before refinement and after every step; *count is 0 where there is none, and null comes back for a null
 * handle. The image has height 0 if the inversion was read from a file. */
HYPERSTYLE_DEPLOY_API int hyperstyle_array(const HyperstyleInversion* inversion, const char* name,
                                           HyperstyleArray* array);
HYPERSTYLE_DEPLOY_API const double* hyperstyle_l2(const HyperstyleInversion* inversion, int64_t* count);
HYPERSTYLE_DEPLOY_API int64_t hyperstyle_steps(const HyperstyleInversion* inversion);
HYPERSTYLE_DEPLOY_API int hyperstyle_image(const HyperstyleInversion* inversion, HyperstyleImage* image);

/* A photo file (JPEG, PNG) as upright RGB, to be freed with hyperstyle_photo_free: IMAGE_ERROR. And an image as a PNG:
 * ARRAY_ERROR, OUTPUT_ERROR. Several threads may do both at once. */
HYPERSTYLE_DEPLOY_API int hyperstyle_photo_read(const char* path, HyperstyleImage* photo);
HYPERSTYLE_DEPLOY_API void hyperstyle_photo_free(HyperstyleImage* photo);
HYPERSTYLE_DEPLOY_API int hyperstyle_png_write(const char* path, const HyperstyleImage* image);

/* A place in a photo, in pixels of the upright photo. */
typedef struct HyperstylePoint {
  double x;
  double y;
} HyperstylePoint;

/* Where in a photo an aligned picture lies: the photo's size, the picture's side, and the corners, upper left, lower left,
 * lower right, upper right, 0 being the outer edge of the photo's first pixel. */
typedef struct HyperstyleCrop {
  int64_t photo_width;
  int64_t photo_height;
  int64_t size;
  HyperstylePoint quad[4];
} HyperstyleCrop;

/* Landmarks (5 of them) of an average face, upright, in a box from its brows to its chin and from cheek to cheek: left,
 * upper, right and lower edge. Code: ALIGNMENT_ERROR (no box). */
#define HYPERSTYLE_BOX_LANDMARKS 5
HYPERSTYLE_DEPLOY_API int hyperstyle_landmarks_in(const double box[4], HyperstylePoint* landmarks);

/* Cut a face out of an upright photo as FFHQ's are cut. There are 68 landmarks as dlib gives them, 5 (eyes, nose, mouth's
 * corners), 6 (BlazeFace's), 468 or 478 (FaceMesh's), whole numbers being the middles of pixels. `pixels` has room for
 * size * size * 3 bytes, the size is 16 to 4096; `crop` may be null. Codes: ARRAY_ERROR (no pixels), ALIGNMENT_ERROR (no
 * face's landmarks, outside the photo, a size out of range). */
HYPERSTYLE_DEPLOY_API int hyperstyle_align(const HyperstyleImage* photo, const HyperstylePoint* landmarks, int64_t count,
                                           int64_t size, uint8_t* pixels, HyperstyleCrop* crop);

/* Put a face, of any size, into the photo that it was aligned from; it fades into it over `feather` of its side, 0 to 0.5,
 * usually 0.1. `pixels` has room for the photo's height * width * 3 bytes. Codes: ARRAY_ERROR (no pixels), ALIGNMENT_ERROR
 * (no alignment, one of another photo, a face that is no square, a feather out of range). */
HYPERSTYLE_DEPLOY_API int hyperstyle_paste_back(const HyperstyleImage* photo, const HyperstyleImage* face,
                                                const HyperstyleCrop* crop, double feather, uint8_t* pixels);

/* Where in its photo an inverted face was, as an inversion and its file keep it. Code: ALIGNMENT_ERROR (it keeps none, or
 * what is kept is no alignment). */
HYPERSTYLE_DEPLOY_API int hyperstyle_keep_crop(HyperstyleInversion* inversion, const HyperstyleCrop* crop);
HYPERSTYLE_DEPLOY_API int hyperstyle_crop_of(const HyperstyleInversion* inversion, HyperstyleCrop* crop);

#ifdef __cplusplus
}
#endif

#endif

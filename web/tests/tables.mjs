// Print the page's tables of garments, keypoints and lengths as JSON.

import * as garments from "../garments.js";
import * as lengths from "../lengths.js";

console.log(JSON.stringify({ ...garments, ...lengths }));

// A still from the camera, as a PNG file.

/**
 * Connect the camera's button and dialog.
 *
 * @param onPhoto function of a File.
 * @param complain function of a text, shown as an error.
 */
export function connectCamera(onPhoto, complain) {
  const [button, dialog, video, take, close] = ["camera", "camera-dialog", "video", "take", "close-camera"].map((id) =>
    document.getElementById(id),
  );
  let numTaken = 0;
  button.hidden = !navigator.mediaDevices; // browsers give the camera to secure pages only
  button.addEventListener("click", async () => {
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "environment", width: { ideal: 4096 }, height: { ideal: 2160 } },
      });
      complain("");
      dialog.showModal();
    } catch (error) {
      complain(`The camera cannot be used: ${error.message}`);
    }
  });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    video.srcObject?.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
  });
  take.addEventListener("click", () => {
    if (!video.videoWidth) return;
    const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    numTaken += 1;
    canvas.toBlob((blob) => onPhoto(new File([blob], `camera-${numTaken}.png`, { type: "image/png" })), "image/png");
  });
}

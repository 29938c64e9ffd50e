// Mutes either speaker of a stereo call; who is left is heard on both sides.

/** Takes over the sound of an <audio>, for good. */
export class Speakers {
  constructor(audio) {
    const context = (this.context = new AudioContext());
    // One channel is spread to two, else a mono recording would be heard on the left only.
    const both = new GainNode(context, { channelCount: 2, channelCountMode: "explicit" });
    const parted = new ChannelSplitterNode(context, { numberOfOutputs: 2 });
    const joined = new ChannelMergerNode(context, { numberOfInputs: 2 });
    this.gains = [0, 1, 2, 3].map((way) => {
      const gain = new GainNode(context);
      parted.connect(gain, way >> 1).connect(joined, 0, way & 1);
      return gain.gain;
    });
    context.createMediaElementSource(audio).connect(both).connect(parted);
    joined.connect(context.destination);
  }

  mute([left, right]) {
    this.context.resume();
    const loud = [!left, !left && right, !right && left, !right]; // left to left, left to right, right to left …
    this.gains.forEach((gain, way) => gain.setTargetAtTime(Number(loud[way]), 0, 0.01));
  }
}

-- ardour7-lua make_session.lua DIR NAME RATE TRACK CHANNELS: a new session with one empty track.
AudioEngine:set_backend ("None (Dummy)", "", "")
local session = create_session (arg[1], arg[2], tonumber (arg[3]))
local tracks = session:new_audio_track (tonumber (arg[5]), 2, nil, 1, arg[4],
	ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, true)
for track in tracks:iter () do print ("playlist", track:playlist ():name ()) end
session:save_state ("")
close_session ()
